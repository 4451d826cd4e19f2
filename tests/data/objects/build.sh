#!/bin/sh
# Builds the committed objects of features.bpf.c and graphs.bpf.c. Needs clang (for graphs 16 or later, for its type tags) and
# libbpf's headers.
set -eu
cd "$(dirname "$0")"
build() {
	"$1" -target bpf -mcpu=v3 -O2 -g -Wall -I"/usr/include/$(uname -m)-linux-gnu" -ffile-prefix-map="$PWD"=. -c "$2.bpf.c" -o "$2.bpf.o"
	llvm-strip -g "$2.bpf.o" 2>/dev/null || llvm-strip-14 -g "$2.bpf.o" 2>/dev/null || true
}
build "${CLANG:-clang}" features
build "${NEWER_CLANG:-clang-19}" graphs
