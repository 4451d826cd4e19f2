#!/bin/sh
# Builds the committed objects of the C files beside it. Needs libbpf's headers, clang for features.bpf.c, and one of
# version 16 or later, for its type tags, for the others.
# types.h is bpftool's own: bpftool btf dump file types.bpf.o format c > types.h
# maps.dump.txt and maps.dump.json.txt are what bpftool map dump printed of its maps, after MapDumpTests' updates.
set -eu
cd "$(dirname "$0")"
build() {
	"$1" -target bpf -mcpu=v3 -O2 -g -Wall -Wno-unused -I"/usr/include/$(uname -m)-linux-gnu" -ffile-prefix-map="$PWD"=. -c "$2.bpf.c" -o "$2.bpf.o"
	llvm-strip -g "$2.bpf.o" 2>/dev/null || llvm-strip-14 -g "$2.bpf.o" 2>/dev/null || true
}
build "${CLANG:-clang}" features
for name in types maps graphs iterators; do
	build "${NEWER_CLANG:-clang-19}" "$name"
done
