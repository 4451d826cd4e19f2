#!/bin/sh
# Builds the programs here. Needs clang and libbpf's headers (bpf/bpf_helpers.h); the objects are committed, so
# that nobody else needs either. CLANG chooses the compiler.
set -eu
cd "$(dirname "$0")"
for source in *.bpf.c; do
	"${CLANG:-clang}" -target bpf -mcpu=v3 -O2 -g -Wall -D__TARGET_ARCH_x86 -ffile-prefix-map="$PWD"=. \
		-c "$source" -o "${source%.c}.o"
	llvm-strip -g "${source%.c}.o" 2>/dev/null || llvm-strip-14 -g "${source%.c}.o" 2>/dev/null || llvm-strip-19 -g "${source%.c}.o" 2>/dev/null || true
done
