"""Backbones: feature extractors for images and texts, shared by all tasks.

images/named.py         backbone(name_or_path, input_shape): the door, and what each name means
images/features.py      what a backbone is: maps at several strides, an embedding, freezing
images/efficientnet.py  EfficientNet-lite0, our own definition
images/weights.py       its weights, from the installed package
images/convolutions.py  the CNN family, from scratch or from a saved model
images/residual.py      a small residual network, from scratch
images/huggingface.py   image models of the transformers library

texts/named.py          sentence_encoder(name_or_path): the door, and what each name means
texts/bert.py           BERT's encoder, our own definition; pieces.py, what it reads
texts/transformer.py    the Transformer in its modern form, from scratch
texts/huggingface.py    text models of the transformers library

linear.py               an output layer on frozen features, solved for
kept.py                 features computed once
"""
