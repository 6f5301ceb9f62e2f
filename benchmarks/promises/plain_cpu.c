/* LD_PRELOAD this and a program sees a processor of 2013: AVX2, but neither AVX-512, VNNI, bf16 nor AMX.

   The kernel can make the instruction CPUID fault (arch_prctl ARCH_SET_CPUID, x86-64 Linux, where
   /proc/cpuinfo lists cpuid_fault); the handler answers in its place with those features taken out.
   For measurements in a process of their own: it takes SIGSEGV for itself, so that a program whose
   threads block that signal may end by it. */
#define _GNU_SOURCE
#include <cpuid.h>
#include <signal.h>
#include <stdint.h>
#include <string.h>
#include <sys/syscall.h>
#include <ucontext.h>
#include <unistd.h>

#define ARCH_SET_CPUID 0x1012

static struct sigaction before;

static uint32_t without(uint32_t value, int n, const int *bits) {
    for (int i = 0; i < n; i++) value &= ~(1u << bits[i]);
    return value;
}

#define WITHOUT(value, ...) without(value, sizeof((int[]){__VA_ARGS__}) / sizeof(int), (int[]){__VA_ARGS__})

static void answer(int signal, siginfo_t *about, void *context) {
    greg_t *r = ((ucontext_t *)context)->uc_mcontext.gregs;
    const unsigned char *code = (const unsigned char *)r[REG_RIP];
    if (code[0] != 0x0f || code[1] != 0xa2) { /* not CPUID: a fault like any other */
        sigaction(SIGSEGV, &before, NULL);
        return;
    }
    uint32_t leaf = r[REG_RAX], part = r[REG_RCX], a, b, c, d;
    syscall(SYS_arch_prctl, ARCH_SET_CPUID, 1);
    __cpuid_count(leaf, part, a, b, c, d);
    syscall(SYS_arch_prctl, ARCH_SET_CPUID, 0);
    if (leaf == 7 && part == 0) {
        b = WITHOUT(b, 16, 17, 21, 26, 27, 28, 30, 31); /* AVX-512 */
        c = WITHOUT(c, 1, 6, 11, 12, 14);               /* its VBMI, VNNI, BITALG, POPCNT */
        d = WITHOUT(d, 2, 3, 8, 22, 23, 24, 25);        /* AMX, FP16 */
    } else if (leaf == 7 && part == 1) {
        a = WITHOUT(a, 4, 5, 21, 23); /* AVX-VNNI, bf16 */
        d = WITHOUT(d, 4, 5, 8, 10, 19);
    }
    r[REG_RAX] = a, r[REG_RBX] = b, r[REG_RCX] = c, r[REG_RDX] = d;
    r[REG_RIP] += 2;
}

__attribute__((constructor)) static void begin(void) {
    struct sigaction action;
    memset(&action, 0, sizeof action);
    action.sa_sigaction = answer;
    action.sa_flags = SA_SIGINFO | SA_NODEFER | SA_ONSTACK;
    sigaction(SIGSEGV, &action, &before);
    syscall(SYS_arch_prctl, ARCH_SET_CPUID, 0);
}
