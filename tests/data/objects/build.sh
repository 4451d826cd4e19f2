#!/bin/sh
# Builds the committed object of features.bpf.c. Needs clang and libbpf's headers.
set -eu
cd "$(dirname "$0")"
"${CLANG:-clang}" -target bpf -mcpu=v3 -O2 -g -Wall -I"/usr/include/$(uname -m)-linux-gnu" -ffile-prefix-map="$PWD"=. \
	-c features.bpf.c -o features.bpf.o
llvm-strip -g features.bpf.o 2>/dev/null || llvm-strip-14 -g features.bpf.o 2>/dev/null || true
