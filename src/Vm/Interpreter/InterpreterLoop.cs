using System.Buffers.Binary;
using System.Runtime.CompilerServices;
using BpfSim.Maps;
using BpfSim.Vm.Programs;

namespace BpfSim.Vm.Interpreter;

/// <summary>
/// The loop. Registers lie in an array on the stack (r0 to r10, and the verifier's r11), each function has
/// 512 bytes of stack below its r10. Statements are written out, not factored: a call per instruction would
/// cost more than the instruction.
/// </summary>
internal static unsafe class InterpreterLoop
{
    private const int Registers = 12;

    /// <summary>Runs from a slot to the exit of its function; the first five registers from r1 on are given.</summary>
    /// <returns>r0, or 0 after a fault, which then stands in the context.</returns>
    [SkipLocalsInit, MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static ulong Run(InterpretedProgram program, int slot, ulong* arguments, RunContext* context)
    {
        ulong* registers = stackalloc ulong[Registers];
        byte* stack = stackalloc byte[ProgramRuntime.StackSize * ProgramRuntime.MaxFrames];
        Frame* frames = stackalloc Frame[ProgramRuntime.MaxFrames];
        byte* r = (byte*)registers;
        DecodedInsn* i = program.Code + slot;
        Frame* frame = frames;
        byte* p;
        long fuel = program.Program.Verified ? long.MaxValue : context->Fuel;
        uint mayGoto = ProgramRuntime.MayGotoRounds;
        if (program.UsesStack) Unsafe.InitBlock(stack, 0, ProgramRuntime.StackSize);
        registers[0] = 0;
        for (int n = 0; n < 5; n++) registers[n + 1] = arguments[n];
        for (int n = 6; n < Registers; n++) registers[n] = 0;
        registers[10] = (ulong)(stack + ProgramRuntime.StackSize);

        while (true)
        {
            switch (i->Op)
            {
                // arithmetic; 32-bit results are zero-extended
                case Op.Add64K: *(ulong*)(r + i->Dst) += (ulong)(long)i->Imm; break;
                case Op.Add64X: *(ulong*)(r + i->Dst) += *(ulong*)(r + i->Src); break;
                case Op.Add32K: *(ulong*)(r + i->Dst) = *(uint*)(r + i->Dst) + (uint)i->Imm; break;
                case Op.Add32X: *(ulong*)(r + i->Dst) = *(uint*)(r + i->Dst) + *(uint*)(r + i->Src); break;
                case Op.Sub64K: *(ulong*)(r + i->Dst) -= (ulong)(long)i->Imm; break;
                case Op.Sub64X: *(ulong*)(r + i->Dst) -= *(ulong*)(r + i->Src); break;
                case Op.Sub32K: *(ulong*)(r + i->Dst) = *(uint*)(r + i->Dst) - (uint)i->Imm; break;
                case Op.Sub32X: *(ulong*)(r + i->Dst) = *(uint*)(r + i->Dst) - *(uint*)(r + i->Src); break;
                case Op.Mul64K: *(ulong*)(r + i->Dst) *= (ulong)(long)i->Imm; break;
                case Op.Mul64X: *(ulong*)(r + i->Dst) *= *(ulong*)(r + i->Src); break;
                case Op.Mul32K: *(ulong*)(r + i->Dst) = *(uint*)(r + i->Dst) * (uint)i->Imm; break;
                case Op.Mul32X: *(ulong*)(r + i->Dst) = *(uint*)(r + i->Dst) * *(uint*)(r + i->Src); break;
                case Op.Or64K: *(ulong*)(r + i->Dst) |= (ulong)(long)i->Imm; break;
                case Op.Or64X: *(ulong*)(r + i->Dst) |= *(ulong*)(r + i->Src); break;
                case Op.Or32K: *(ulong*)(r + i->Dst) = *(uint*)(r + i->Dst) | (uint)i->Imm; break;
                case Op.Or32X: *(ulong*)(r + i->Dst) = *(uint*)(r + i->Dst) | *(uint*)(r + i->Src); break;
                case Op.And64K: *(ulong*)(r + i->Dst) &= (ulong)(long)i->Imm; break;
                case Op.And64X: *(ulong*)(r + i->Dst) &= *(ulong*)(r + i->Src); break;
                case Op.And32K: *(ulong*)(r + i->Dst) = *(uint*)(r + i->Dst) & (uint)i->Imm; break;
                case Op.And32X: *(ulong*)(r + i->Dst) = *(uint*)(r + i->Dst) & *(uint*)(r + i->Src); break;
                case Op.Xor64K: *(ulong*)(r + i->Dst) ^= (ulong)(long)i->Imm; break;
                case Op.Xor64X: *(ulong*)(r + i->Dst) ^= *(ulong*)(r + i->Src); break;
                case Op.Xor32K: *(ulong*)(r + i->Dst) = *(uint*)(r + i->Dst) ^ (uint)i->Imm; break;
                case Op.Xor32X: *(ulong*)(r + i->Dst) = *(uint*)(r + i->Dst) ^ *(uint*)(r + i->Src); break;
                case Op.Lsh64K: *(ulong*)(r + i->Dst) <<= i->Imm; break;
                case Op.Lsh64X: *(ulong*)(r + i->Dst) <<= *(int*)(r + i->Src); break;
                case Op.Lsh32K: *(ulong*)(r + i->Dst) = *(uint*)(r + i->Dst) << i->Imm; break;
                case Op.Lsh32X: *(ulong*)(r + i->Dst) = *(uint*)(r + i->Dst) << *(int*)(r + i->Src); break;
                case Op.Rsh64K: *(ulong*)(r + i->Dst) >>= i->Imm; break;
                case Op.Rsh64X: *(ulong*)(r + i->Dst) >>= *(int*)(r + i->Src); break;
                case Op.Rsh32K: *(ulong*)(r + i->Dst) = *(uint*)(r + i->Dst) >> i->Imm; break;
                case Op.Rsh32X: *(ulong*)(r + i->Dst) = *(uint*)(r + i->Dst) >> *(int*)(r + i->Src); break;
                case Op.Arsh64K: *(long*)(r + i->Dst) >>= i->Imm; break;
                case Op.Arsh64X: *(long*)(r + i->Dst) >>= *(int*)(r + i->Src); break;
                case Op.Arsh32K: *(ulong*)(r + i->Dst) = (uint)(*(int*)(r + i->Dst) >> i->Imm); break;
                case Op.Arsh32X: *(ulong*)(r + i->Dst) = (uint)(*(int*)(r + i->Dst) >> *(int*)(r + i->Src)); break;
                case Op.Neg64: *(ulong*)(r + i->Dst) = 0 - *(ulong*)(r + i->Dst); break;
                case Op.Neg32: *(ulong*)(r + i->Dst) = 0 - *(uint*)(r + i->Dst); break;
                case Op.Mov64K: *(ulong*)(r + i->Dst) = (ulong)(long)i->Imm; break;
                case Op.Mov64X: *(ulong*)(r + i->Dst) = *(ulong*)(r + i->Src); break;
                case Op.Mov32K: *(ulong*)(r + i->Dst) = (uint)i->Imm; break;
                case Op.Mov32X: *(ulong*)(r + i->Dst) = *(uint*)(r + i->Src); break;
                case Op.MovSx8To64: *(long*)(r + i->Dst) = *(sbyte*)(r + i->Src); break;
                case Op.MovSx16To64: *(long*)(r + i->Dst) = *(short*)(r + i->Src); break;
                case Op.MovSx32To64: *(long*)(r + i->Dst) = *(int*)(r + i->Src); break;
                case Op.MovSx8To32: *(ulong*)(r + i->Dst) = (uint)*(sbyte*)(r + i->Src); break;
                case Op.MovSx16To32: *(ulong*)(r + i->Dst) = (uint)*(short*)(r + i->Src); break;

                // division: by zero gives 0, the remainder is then the dividend; the most negative number by -1 is itself
                case Op.Div64K: *(ulong*)(r + i->Dst) = Arithmetic.Divide(*(ulong*)(r + i->Dst), (ulong)(long)i->Imm); break;
                case Op.Mod64K: *(ulong*)(r + i->Dst) = Arithmetic.Modulo(*(ulong*)(r + i->Dst), (ulong)(long)i->Imm); break;
                case Op.SDiv64K: *(ulong*)(r + i->Dst) = Arithmetic.SignedDivide(*(ulong*)(r + i->Dst), (ulong)(long)i->Imm); break;
                case Op.SMod64K: *(ulong*)(r + i->Dst) = Arithmetic.SignedModulo(*(ulong*)(r + i->Dst), (ulong)(long)i->Imm); break;
                case Op.Div32K: *(ulong*)(r + i->Dst) = Arithmetic.Divide(*(uint*)(r + i->Dst), (uint)i->Imm); break;
                case Op.Mod32K: *(ulong*)(r + i->Dst) = Arithmetic.Modulo(*(uint*)(r + i->Dst), (uint)i->Imm); break;
                case Op.SDiv32K: *(ulong*)(r + i->Dst) = Arithmetic.SignedDivide(*(uint*)(r + i->Dst), (uint)i->Imm); break;
                case Op.SMod32K: *(ulong*)(r + i->Dst) = Arithmetic.SignedModulo(*(uint*)(r + i->Dst), (uint)i->Imm); break;
                case Op.Div64X: *(ulong*)(r + i->Dst) = Arithmetic.Divide(*(ulong*)(r + i->Dst), *(ulong*)(r + i->Src)); break;
                case Op.Mod64X: *(ulong*)(r + i->Dst) = Arithmetic.Modulo(*(ulong*)(r + i->Dst), *(ulong*)(r + i->Src)); break;
                case Op.SDiv64X: *(ulong*)(r + i->Dst) = Arithmetic.SignedDivide(*(ulong*)(r + i->Dst), *(ulong*)(r + i->Src)); break;
                case Op.SMod64X: *(ulong*)(r + i->Dst) = Arithmetic.SignedModulo(*(ulong*)(r + i->Dst), *(ulong*)(r + i->Src)); break;
                case Op.Div32X: *(ulong*)(r + i->Dst) = Arithmetic.Divide(*(uint*)(r + i->Dst), *(uint*)(r + i->Src)); break;
                case Op.Mod32X: *(ulong*)(r + i->Dst) = Arithmetic.Modulo(*(uint*)(r + i->Dst), *(uint*)(r + i->Src)); break;
                case Op.SDiv32X: *(ulong*)(r + i->Dst) = Arithmetic.SignedDivide(*(uint*)(r + i->Dst), *(uint*)(r + i->Src)); break;
                case Op.SMod32X: *(ulong*)(r + i->Dst) = Arithmetic.SignedModulo(*(uint*)(r + i->Dst), *(uint*)(r + i->Src)); break;

                // byte order
                case Op.Truncate16: *(ulong*)(r + i->Dst) = *(ushort*)(r + i->Dst); break;
                case Op.Truncate32: *(ulong*)(r + i->Dst) = *(uint*)(r + i->Dst); break;
                case Op.Nop: break;
                case Op.Swap16: *(ulong*)(r + i->Dst) = BinaryPrimitives.ReverseEndianness(*(ushort*)(r + i->Dst)); break;
                case Op.Swap32: *(ulong*)(r + i->Dst) = BinaryPrimitives.ReverseEndianness(*(uint*)(r + i->Dst)); break;
                case Op.Swap64: *(ulong*)(r + i->Dst) = BinaryPrimitives.ReverseEndianness(*(ulong*)(r + i->Dst)); break;

                // memory
                case Op.Ldx8: *(ulong*)(r + i->Dst) = *(byte*)(*(byte**)(r + i->Src) + i->Off); break;
                case Op.Ldx16: *(ulong*)(r + i->Dst) = *(ushort*)(*(byte**)(r + i->Src) + i->Off); break;
                case Op.Ldx32: *(ulong*)(r + i->Dst) = *(uint*)(*(byte**)(r + i->Src) + i->Off); break;
                case Op.Ldx64: *(ulong*)(r + i->Dst) = *(ulong*)(*(byte**)(r + i->Src) + i->Off); break;
                case Op.LdxSx8: *(long*)(r + i->Dst) = *(sbyte*)(*(byte**)(r + i->Src) + i->Off); break;
                case Op.LdxSx16: *(long*)(r + i->Dst) = *(short*)(*(byte**)(r + i->Src) + i->Off); break;
                case Op.LdxSx32: *(long*)(r + i->Dst) = *(int*)(*(byte**)(r + i->Src) + i->Off); break;
                case Op.Stx8: *(byte*)(*(byte**)(r + i->Dst) + i->Off) = *(byte*)(r + i->Src); break;
                case Op.Stx16: *(ushort*)(*(byte**)(r + i->Dst) + i->Off) = *(ushort*)(r + i->Src); break;
                case Op.Stx32: *(uint*)(*(byte**)(r + i->Dst) + i->Off) = *(uint*)(r + i->Src); break;
                case Op.Stx64: *(ulong*)(*(byte**)(r + i->Dst) + i->Off) = *(ulong*)(r + i->Src); break;
                case Op.St8: *(byte*)(*(byte**)(r + i->Dst) + i->Off) = (byte)i->Imm; break;
                case Op.St16: *(ushort*)(*(byte**)(r + i->Dst) + i->Off) = (ushort)i->Imm; break;
                case Op.St32: *(uint*)(*(byte**)(r + i->Dst) + i->Off) = (uint)i->Imm; break;
                case Op.St64: *(ulong*)(*(byte**)(r + i->Dst) + i->Off) = (ulong)(long)i->Imm; break;
                case Op.LdImm64: *(ulong*)(r + i->Dst) = i->Value; i++; break;

                // jumps; a jump backward costs fuel
                case Op.Ja: goto taken;
                case Op.Jeq64K: if (*(ulong*)(r + i->Dst) == (ulong)(long)i->Imm) goto taken; break;
                case Op.Jeq64X: if (*(ulong*)(r + i->Dst) == *(ulong*)(r + i->Src)) goto taken; break;
                case Op.Jeq32K: if (*(uint*)(r + i->Dst) == (uint)i->Imm) goto taken; break;
                case Op.Jeq32X: if (*(uint*)(r + i->Dst) == *(uint*)(r + i->Src)) goto taken; break;
                case Op.Jne64K: if (*(ulong*)(r + i->Dst) != (ulong)(long)i->Imm) goto taken; break;
                case Op.Jne64X: if (*(ulong*)(r + i->Dst) != *(ulong*)(r + i->Src)) goto taken; break;
                case Op.Jne32K: if (*(uint*)(r + i->Dst) != (uint)i->Imm) goto taken; break;
                case Op.Jne32X: if (*(uint*)(r + i->Dst) != *(uint*)(r + i->Src)) goto taken; break;
                case Op.Jgt64K: if (*(ulong*)(r + i->Dst) > (ulong)(long)i->Imm) goto taken; break;
                case Op.Jgt64X: if (*(ulong*)(r + i->Dst) > *(ulong*)(r + i->Src)) goto taken; break;
                case Op.Jgt32K: if (*(uint*)(r + i->Dst) > (uint)i->Imm) goto taken; break;
                case Op.Jgt32X: if (*(uint*)(r + i->Dst) > *(uint*)(r + i->Src)) goto taken; break;
                case Op.Jge64K: if (*(ulong*)(r + i->Dst) >= (ulong)(long)i->Imm) goto taken; break;
                case Op.Jge64X: if (*(ulong*)(r + i->Dst) >= *(ulong*)(r + i->Src)) goto taken; break;
                case Op.Jge32K: if (*(uint*)(r + i->Dst) >= (uint)i->Imm) goto taken; break;
                case Op.Jge32X: if (*(uint*)(r + i->Dst) >= *(uint*)(r + i->Src)) goto taken; break;
                case Op.Jlt64K: if (*(ulong*)(r + i->Dst) < (ulong)(long)i->Imm) goto taken; break;
                case Op.Jlt64X: if (*(ulong*)(r + i->Dst) < *(ulong*)(r + i->Src)) goto taken; break;
                case Op.Jlt32K: if (*(uint*)(r + i->Dst) < (uint)i->Imm) goto taken; break;
                case Op.Jlt32X: if (*(uint*)(r + i->Dst) < *(uint*)(r + i->Src)) goto taken; break;
                case Op.Jle64K: if (*(ulong*)(r + i->Dst) <= (ulong)(long)i->Imm) goto taken; break;
                case Op.Jle64X: if (*(ulong*)(r + i->Dst) <= *(ulong*)(r + i->Src)) goto taken; break;
                case Op.Jle32K: if (*(uint*)(r + i->Dst) <= (uint)i->Imm) goto taken; break;
                case Op.Jle32X: if (*(uint*)(r + i->Dst) <= *(uint*)(r + i->Src)) goto taken; break;
                case Op.Jsgt64K: if (*(long*)(r + i->Dst) > i->Imm) goto taken; break;
                case Op.Jsgt64X: if (*(long*)(r + i->Dst) > *(long*)(r + i->Src)) goto taken; break;
                case Op.Jsgt32K: if (*(int*)(r + i->Dst) > i->Imm) goto taken; break;
                case Op.Jsgt32X: if (*(int*)(r + i->Dst) > *(int*)(r + i->Src)) goto taken; break;
                case Op.Jsge64K: if (*(long*)(r + i->Dst) >= i->Imm) goto taken; break;
                case Op.Jsge64X: if (*(long*)(r + i->Dst) >= *(long*)(r + i->Src)) goto taken; break;
                case Op.Jsge32K: if (*(int*)(r + i->Dst) >= i->Imm) goto taken; break;
                case Op.Jsge32X: if (*(int*)(r + i->Dst) >= *(int*)(r + i->Src)) goto taken; break;
                case Op.Jslt64K: if (*(long*)(r + i->Dst) < i->Imm) goto taken; break;
                case Op.Jslt64X: if (*(long*)(r + i->Dst) < *(long*)(r + i->Src)) goto taken; break;
                case Op.Jslt32K: if (*(int*)(r + i->Dst) < i->Imm) goto taken; break;
                case Op.Jslt32X: if (*(int*)(r + i->Dst) < *(int*)(r + i->Src)) goto taken; break;
                case Op.Jsle64K: if (*(long*)(r + i->Dst) <= i->Imm) goto taken; break;
                case Op.Jsle64X: if (*(long*)(r + i->Dst) <= *(long*)(r + i->Src)) goto taken; break;
                case Op.Jsle32K: if (*(int*)(r + i->Dst) <= i->Imm) goto taken; break;
                case Op.Jsle32X: if (*(int*)(r + i->Dst) <= *(int*)(r + i->Src)) goto taken; break;
                case Op.Jset64K: if ((*(ulong*)(r + i->Dst) & (ulong)(long)i->Imm) != 0) goto taken; break;
                case Op.Jset64X: if ((*(ulong*)(r + i->Dst) & *(ulong*)(r + i->Src)) != 0) goto taken; break;
                case Op.Jset32K: if ((*(uint*)(r + i->Dst) & (uint)i->Imm) != 0) goto taken; break;
                case Op.Jset32X: if ((*(uint*)(r + i->Dst) & *(uint*)(r + i->Src)) != 0) goto taken; break;

                // loads through kernel pointers that may be bad: outside the arena they read 0
                case Op.ProbeLdx8: *(ulong*)(r + i->Dst) = (p = ProgramRuntime.Arena(context, *(ulong*)(r + i->Src) + (ulong)i->Off, 1)) == null ? 0UL : *(byte*)p; break;
                case Op.ProbeLdx16: *(ulong*)(r + i->Dst) = (p = ProgramRuntime.Arena(context, *(ulong*)(r + i->Src) + (ulong)i->Off, 2)) == null ? 0UL : *(ushort*)p; break;
                case Op.ProbeLdx32: *(ulong*)(r + i->Dst) = (p = ProgramRuntime.Arena(context, *(ulong*)(r + i->Src) + (ulong)i->Off, 4)) == null ? 0UL : *(uint*)p; break;
                case Op.ProbeLdx64: *(ulong*)(r + i->Dst) = (p = ProgramRuntime.Arena(context, *(ulong*)(r + i->Src) + (ulong)i->Off, 8)) == null ? 0UL : *(ulong*)p; break;
                case Op.ProbeLdxSx8: *(long*)(r + i->Dst) = (p = ProgramRuntime.Arena(context, *(ulong*)(r + i->Src) + (ulong)i->Off, 1)) == null ? 0L : *(sbyte*)p; break;
                case Op.ProbeLdxSx16: *(long*)(r + i->Dst) = (p = ProgramRuntime.Arena(context, *(ulong*)(r + i->Src) + (ulong)i->Off, 2)) == null ? 0L : *(short*)p; break;
                case Op.ProbeLdxSx32: *(long*)(r + i->Dst) = (p = ProgramRuntime.Arena(context, *(ulong*)(r + i->Src) + (ulong)i->Off, 4)) == null ? 0L : *(int*)p; break;

                // atomics
                case Op.AtomicAdd32: Interlocked.Add(ref *(uint*)(*(byte**)(r + i->Dst) + i->Off), *(uint*)(r + i->Src)); break;
                case Op.AtomicAdd64: Interlocked.Add(ref *(ulong*)(*(byte**)(r + i->Dst) + i->Off), *(ulong*)(r + i->Src)); break;
                case Op.AtomicOr32: Interlocked.Or(ref *(uint*)(*(byte**)(r + i->Dst) + i->Off), *(uint*)(r + i->Src)); break;
                case Op.AtomicOr64: Interlocked.Or(ref *(ulong*)(*(byte**)(r + i->Dst) + i->Off), *(ulong*)(r + i->Src)); break;
                case Op.AtomicAnd32: Interlocked.And(ref *(uint*)(*(byte**)(r + i->Dst) + i->Off), *(uint*)(r + i->Src)); break;
                case Op.AtomicAnd64: Interlocked.And(ref *(ulong*)(*(byte**)(r + i->Dst) + i->Off), *(ulong*)(r + i->Src)); break;
                case Op.AtomicXor32: Atomics.FetchXor(ref *(uint*)(*(byte**)(r + i->Dst) + i->Off), *(uint*)(r + i->Src)); break;
                case Op.AtomicXor64: Atomics.FetchXor(ref *(ulong*)(*(byte**)(r + i->Dst) + i->Off), *(ulong*)(r + i->Src)); break;
                case Op.AtomicFetchAdd32: *(ulong*)(r + i->Src) = Interlocked.Add(ref *(uint*)(*(byte**)(r + i->Dst) + i->Off), *(uint*)(r + i->Src)) - *(uint*)(r + i->Src); break;
                case Op.AtomicFetchAdd64: *(ulong*)(r + i->Src) = Interlocked.Add(ref *(ulong*)(*(byte**)(r + i->Dst) + i->Off), *(ulong*)(r + i->Src)) - *(ulong*)(r + i->Src); break;
                case Op.AtomicFetchOr32: *(ulong*)(r + i->Src) = Interlocked.Or(ref *(uint*)(*(byte**)(r + i->Dst) + i->Off), *(uint*)(r + i->Src)); break;
                case Op.AtomicFetchOr64: *(ulong*)(r + i->Src) = Interlocked.Or(ref *(ulong*)(*(byte**)(r + i->Dst) + i->Off), *(ulong*)(r + i->Src)); break;
                case Op.AtomicFetchAnd32: *(ulong*)(r + i->Src) = Interlocked.And(ref *(uint*)(*(byte**)(r + i->Dst) + i->Off), *(uint*)(r + i->Src)); break;
                case Op.AtomicFetchAnd64: *(ulong*)(r + i->Src) = Interlocked.And(ref *(ulong*)(*(byte**)(r + i->Dst) + i->Off), *(ulong*)(r + i->Src)); break;
                case Op.AtomicFetchXor32: *(ulong*)(r + i->Src) = Atomics.FetchXor(ref *(uint*)(*(byte**)(r + i->Dst) + i->Off), *(uint*)(r + i->Src)); break;
                case Op.AtomicFetchXor64: *(ulong*)(r + i->Src) = Atomics.FetchXor(ref *(ulong*)(*(byte**)(r + i->Dst) + i->Off), *(ulong*)(r + i->Src)); break;
                case Op.AtomicXchg32: *(ulong*)(r + i->Src) = Interlocked.Exchange(ref *(uint*)(*(byte**)(r + i->Dst) + i->Off), *(uint*)(r + i->Src)); break;
                case Op.AtomicXchg64: *(ulong*)(r + i->Src) = Interlocked.Exchange(ref *(ulong*)(*(byte**)(r + i->Dst) + i->Off), *(ulong*)(r + i->Src)); break;
                case Op.AtomicCmpxchg32: *(ulong*)r = Interlocked.CompareExchange(ref *(uint*)(*(byte**)(r + i->Dst) + i->Off), *(uint*)(r + i->Src), *(uint*)r); break;
                case Op.AtomicCmpxchg64: *(ulong*)r = Interlocked.CompareExchange(ref *(ulong*)(*(byte**)(r + i->Dst) + i->Off), *(ulong*)(r + i->Src), *(ulong*)r); break;
                case Op.LoadAcquire8: *(ulong*)(r + i->Dst) = Volatile.Read(ref *(byte*)(*(byte**)(r + i->Src) + i->Off)); break;
                case Op.LoadAcquire16: *(ulong*)(r + i->Dst) = Volatile.Read(ref *(ushort*)(*(byte**)(r + i->Src) + i->Off)); break;
                case Op.LoadAcquire32: *(ulong*)(r + i->Dst) = Volatile.Read(ref *(uint*)(*(byte**)(r + i->Src) + i->Off)); break;
                case Op.LoadAcquire64: *(ulong*)(r + i->Dst) = Volatile.Read(ref *(ulong*)(*(byte**)(r + i->Src) + i->Off)); break;
                case Op.StoreRelease8: Volatile.Write(ref *(byte*)(*(byte**)(r + i->Dst) + i->Off), *(byte*)(r + i->Src)); break;
                case Op.StoreRelease16: Volatile.Write(ref *(ushort*)(*(byte**)(r + i->Dst) + i->Off), *(ushort*)(r + i->Src)); break;
                case Op.StoreRelease32: Volatile.Write(ref *(uint*)(*(byte**)(r + i->Dst) + i->Off), *(uint*)(r + i->Src)); break;
                case Op.StoreRelease64: Volatile.Write(ref *(ulong*)(*(byte**)(r + i->Dst) + i->Off), *(ulong*)(r + i->Src)); break;

                // calls and the end
                case Op.CallHelper:
                    context->Fuel = fuel;
                    registers[0] = i->Function(registers[1], registers[2], registers[3], registers[4], registers[5], context);
                    if (context->Fault != RunFault.None) return 0;
                    fuel = context->Fuel;
                    break;
                case Op.CallMissing:
                    registers[0] = unchecked((ulong)-(long)Errno.EOPNOTSUPP);
                    break;
                case Op.CallLocal:
                    if (frame == frames + ProgramRuntime.MaxFrames - 1) return Stop(context, RunFault.CallTooDeep, i - program.Code);
                    if (--fuel < 0) return Stop(context, RunFault.OutOfFuel, i - program.Code);
                    *frame++ = new Frame(i + 1, registers[6], registers[7], registers[8], registers[9], registers[10]);
                    registers[10] += ProgramRuntime.StackSize;
                    Unsafe.InitBlock((byte*)registers[10] - ProgramRuntime.StackSize, 0, ProgramRuntime.StackSize);
                    i = (DecodedInsn*)((byte*)i + i->Jump);
                    continue;
                case Op.Exit:
                    if (frame == frames)
                    {
                        context->Fuel = fuel;
                        return registers[0];
                    }

                    frame--;
                    (registers[6], registers[7], registers[8], registers[9], registers[10]) = (frame->R6, frame->R7, frame->R8, frame->R9, frame->R10);
                    i = frame->Return;
                    continue;
                case Op.TailCall:
                    if (context->TailCalls >= ProgramRuntime.MaxTailCalls) break;
                    if (ProgramRuntime.TailCallTarget((MapHeader*)registers[2], (uint)registers[3]) is not { } target) break;
                    context->TailCalls++;
                    if (target is not InterpretedProgram next) return program.Leave(target, registers[1], context);
                    // The target replaces this function's frame; its callers, if any, go on when it exits.
                    program = next;
                    context->Program = next.Handle;
                    i = next.Code;
                    continue;
                case Op.MayGoto:
                    if (mayGoto == 0) goto taken;
                    mayGoto--;
                    break;
                case Op.LdAbs:
                    if (!ProgramRuntime.LoadPacket(program.Program, registers[6], (uint)i->Imm, i->Off, context, out registers[0])) return 0;
                    break;
                case Op.LdInd:
                    if (!ProgramRuntime.LoadPacket(program.Program, registers[6], (uint)i->Imm + *(uint*)(r + i->Src), i->Off, context, out registers[0])) return 0;
                    break;
                default:
                    return Stop(context, RunFault.BadInstruction, i - program.Code);
            }

            i++;
            continue;
        taken:
            if (--fuel < 0) return Stop(context, RunFault.OutOfFuel, i - program.Code);
            i = (DecodedInsn*)((byte*)i + i->Jump);
        }
    }

    private static ulong Stop(RunContext* context, RunFault fault, long slot)
    {
        context->Fault = fault;
        context->FaultInsn = (int)slot;
        return 0;
    }

    private readonly struct Frame(DecodedInsn* back, ulong r6, ulong r7, ulong r8, ulong r9, ulong r10)
    {
        public readonly DecodedInsn* Return = back;
        public readonly ulong R6 = r6, R7 = r7, R8 = r8, R9 = r9, R10 = r10;
    }
}
