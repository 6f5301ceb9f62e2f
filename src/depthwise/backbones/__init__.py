"""Networks that turn images into feature maps, the same way for every image task; and texts into
vectors.

named.py            backbone(name_or_path, input_shape): the door, and what each name means
features.py         what a backbone is: maps at several strides, an embedding, freezing
efficientnet.py     EfficientNet-lite0, our own definition
weights.py          its weights, from the installed package; torch_file.py reads their file
convolutions.py     the CNN family, from scratch or from a saved model
residual.py         a small residual network, from scratch
huggingface.py      image models of the transformers library
standing.py         what every estimator that stands on a backbone shares
linear.py           an output layer on frozen features, solved for; kept.py, features computed once
learning.py         gradient descent that is gentler with the backbone than with the rest

sentences.py        sentence_encoder(name_or_path): the door, and what each name means
bert.py             BERT's encoder, our own definition; sentence_pieces.py, what it reads
huggingface_text.py text models of the transformers library
reading.py          what every estimator that stands on a sentence encoder shares
"""
