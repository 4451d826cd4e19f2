#!/bin/sh
# Builds the committed object of features.bpf.c. Needs clang and libbpf's headers.
set -eu
cd "$(dirname "$0")"
"${CLANG:-clang}" -target bpf -mcpu=v3 -O2 -g -Wall -I"/usr/include/$(uname -m)-linux-gnu" -ffile-prefix-map="$PWD"=. \
	-c features.bpf.c -o features.bpf.o
llvm-strip -g features.bpf.o 2>/dev/null || llvm-strip-14 -g features.bpf.o 2>/dev/null || true
# types.h is bpftool's own: bpftool btf dump file types.bpf.o format c > types.h
clang-19 -target bpf -mcpu=v3 -O2 -g -w -I"/usr/include/$(uname -m)-linux-gnu" -ffile-prefix-map="$PWD"=. -c types.bpf.c -o types.bpf.o
llvm-strip-19 -g types.bpf.o
# maps.dump.txt and maps.dump.json.txt are what bpftool map dump printed of its maps, after MapDumpTests' updates.
clang-19 -target bpf -mcpu=v3 -O2 -g -w -I"/usr/include/$(uname -m)-linux-gnu" -ffile-prefix-map="$PWD"=. -c maps.bpf.c -o maps.bpf.o
llvm-strip-19 -g maps.bpf.o
clang-19 -target bpf -mcpu=v3 -O2 -g -w -I"/usr/include/$(uname -m)-linux-gnu" -ffile-prefix-map="$PWD"=. -c iterators.bpf.c -o iterators.bpf.o
llvm-strip-19 -g iterators.bpf.o
