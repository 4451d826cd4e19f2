using System.Buffers.Binary;
using System.Runtime.CompilerServices;
using BpfSim.Maps;
using BpfSim.Vm.Programs;

namespace BpfSim.Vm.Interpreter;

/// <summary>
/// The loop. Registers lie in an array on the stack (r0 to r10, and the verifier's r11), each function has
/// 512 bytes of stack below its r10. Statements are written out, not factored: a call per instruction would
/// cost more than the instruction. The dispatch is most of the cost, so that frequent sequences have cases
/// of their own: xorshift went from 2.0 to 1.1 ns an instruction.
/// </summary>
internal static unsafe class InterpreterLoop
{
    private const int Registers = 12;

    /// <summary>Runs from a slot to the exit of its function, on a stack of which so many bytes are zeroed; r1 to r5 are given.</summary>
    /// <returns>r0, or 0 after a fault, which then stands in the context.</returns>
    [SkipLocalsInit]
    public static ulong Run(InterpretedProgram program, int slot, int stackBytes, ulong* arguments, RunContext* context)
    {
        ulong* registers = stackalloc ulong[Registers];
        byte* stack = stackalloc byte[ProgramRuntime.StackSize * ProgramRuntime.MaxFrames];
        Clear(stack + ProgramRuntime.StackSize, stackBytes);
        registers[0] = 0;
        for (int n = 0; n < 5; n++) registers[n + 1] = arguments[n];
        for (int n = 6; n < Registers; n++) registers[n] = 0;
        registers[10] = (ulong)(stack + ProgramRuntime.StackSize);
        // The saved frames need no first value, and clearing them would cost more than a short run.
        Unsafe.SkipInit(out State state);
        state.Context = context;
        state.Start = program.Code;
        state.Program = program.Handle;
        state.Frames = 0;
        state.MayGoto = ProgramRuntime.MayGotoRounds;
        state.Fuel = program.Program.Verified ? long.MaxValue : context->Fuel;
        ulong result = Loop(program.Code + slot, (byte*)registers, &state);
        // A run of no jump limit leaves the caller's fuel alone.
        if (!program.Program.Verified) context->Fuel = state.Fuel;
        return result;
    }

    /// <summary>
    /// The loop itself. It must keep i, r, fuel and s in machine registers, therefore nothing here calls
    /// native code or needs memory of its own; what does stands in methods below.
    /// </summary>
    [SkipLocalsInit, MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static ulong Loop(DecodedInsn* i, byte* r, State* s)
    {
        long fuel = s->Fuel;
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
                case Op.ProbeLdx8: *(ulong*)(r + i->Dst) = (byte)Probe(s, *(ulong*)(r + i->Src) + (ulong)i->Off, 1); break;
                case Op.ProbeLdx16: *(ulong*)(r + i->Dst) = (ushort)Probe(s, *(ulong*)(r + i->Src) + (ulong)i->Off, 2); break;
                case Op.ProbeLdx32: *(ulong*)(r + i->Dst) = (uint)Probe(s, *(ulong*)(r + i->Src) + (ulong)i->Off, 4); break;
                case Op.ProbeLdx64: *(ulong*)(r + i->Dst) = (ulong)Probe(s, *(ulong*)(r + i->Src) + (ulong)i->Off, 8); break;
                case Op.ProbeLdxSx8: *(long*)(r + i->Dst) = (sbyte)Probe(s, *(ulong*)(r + i->Src) + (ulong)i->Off, 1); break;
                case Op.ProbeLdxSx16: *(long*)(r + i->Dst) = (short)Probe(s, *(ulong*)(r + i->Src) + (ulong)i->Off, 2); break;
                case Op.ProbeLdxSx32: *(long*)(r + i->Dst) = (int)Probe(s, *(ulong*)(r + i->Src) + (ulong)i->Off, 4); break;

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

                // sequences that compilers make often, in one go; the jump targets inside them stay whole
                case Op.Mov64X_Add64K: *(ulong*)(r + i->Dst) = *(ulong*)(r + i->Src); i++; *(ulong*)(r + i->Dst) += (ulong)(long)i->Imm; break;
                case Op.Mov64X_Add64X: *(ulong*)(r + i->Dst) = *(ulong*)(r + i->Src); i++; *(ulong*)(r + i->Dst) += *(ulong*)(r + i->Src); break;
                case Op.Mov64X_And64K: *(ulong*)(r + i->Dst) = *(ulong*)(r + i->Src); i++; *(ulong*)(r + i->Dst) &= (ulong)(long)i->Imm; break;
                case Op.Mov64X_Lsh64K: *(ulong*)(r + i->Dst) = *(ulong*)(r + i->Src); i++; *(ulong*)(r + i->Dst) <<= i->Imm; break;
                case Op.Mov64X_Rsh64K: *(ulong*)(r + i->Dst) = *(ulong*)(r + i->Src); i++; *(ulong*)(r + i->Dst) >>= i->Imm; break;
                case Op.Mov64X_Xor64X: *(ulong*)(r + i->Dst) = *(ulong*)(r + i->Src); i++; *(ulong*)(r + i->Dst) ^= *(ulong*)(r + i->Src); break;
                case Op.Mov64X_Mul64K: *(ulong*)(r + i->Dst) = *(ulong*)(r + i->Src); i++; *(ulong*)(r + i->Dst) *= (ulong)(long)i->Imm; break;
                case Op.Mov64X_Sub64X: *(ulong*)(r + i->Dst) = *(ulong*)(r + i->Src); i++; *(ulong*)(r + i->Dst) -= *(ulong*)(r + i->Src); break;
                case Op.Mov64X_Or64X: *(ulong*)(r + i->Dst) = *(ulong*)(r + i->Src); i++; *(ulong*)(r + i->Dst) |= *(ulong*)(r + i->Src); break;
                case Op.Mov64X_Mov64X: *(ulong*)(r + i->Dst) = *(ulong*)(r + i->Src); i++; *(ulong*)(r + i->Dst) = *(ulong*)(r + i->Src); break;
                case Op.Xor64X_Mov64X: *(ulong*)(r + i->Dst) ^= *(ulong*)(r + i->Src); i++; *(ulong*)(r + i->Dst) = *(ulong*)(r + i->Src); break;
                case Op.Add64X_Mov64X: *(ulong*)(r + i->Dst) += *(ulong*)(r + i->Src); i++; *(ulong*)(r + i->Dst) = *(ulong*)(r + i->Src); break;
                case Op.And64K_Mov64X: *(ulong*)(r + i->Dst) &= (ulong)(long)i->Imm; i++; *(ulong*)(r + i->Dst) = *(ulong*)(r + i->Src); break;
                case Op.Or64X_Mov64X: *(ulong*)(r + i->Dst) |= *(ulong*)(r + i->Src); i++; *(ulong*)(r + i->Dst) = *(ulong*)(r + i->Src); break;
                case Op.Add64K_Mov64X: *(ulong*)(r + i->Dst) += (ulong)(long)i->Imm; i++; *(ulong*)(r + i->Dst) = *(ulong*)(r + i->Src); break;
                case Op.Rsh64K_Mov64X: *(ulong*)(r + i->Dst) >>= i->Imm; i++; *(ulong*)(r + i->Dst) = *(ulong*)(r + i->Src); break;
                case Op.Lsh64K_Xor64X: *(ulong*)(r + i->Dst) <<= i->Imm; i++; *(ulong*)(r + i->Dst) ^= *(ulong*)(r + i->Src); break;
                case Op.Lsh64K_Rsh64K: *(ulong*)(r + i->Dst) <<= i->Imm; i++; *(ulong*)(r + i->Dst) >>= i->Imm; break;
                case Op.Lsh64K_Arsh64K: *(ulong*)(r + i->Dst) <<= i->Imm; i++; *(long*)(r + i->Dst) >>= i->Imm; break;
                case Op.Lsh64K_Or64X: *(ulong*)(r + i->Dst) <<= i->Imm; i++; *(ulong*)(r + i->Dst) |= *(ulong*)(r + i->Src); break;
                case Op.Lsh64K_Add64X: *(ulong*)(r + i->Dst) <<= i->Imm; i++; *(ulong*)(r + i->Dst) += *(ulong*)(r + i->Src); break;
                case Op.Rsh64K_Xor64X: *(ulong*)(r + i->Dst) >>= i->Imm; i++; *(ulong*)(r + i->Dst) ^= *(ulong*)(r + i->Src); break;
                case Op.Rsh64K_And64K: *(ulong*)(r + i->Dst) >>= i->Imm; i++; *(ulong*)(r + i->Dst) &= (ulong)(long)i->Imm; break;
                case Op.And64K_Add64X: *(ulong*)(r + i->Dst) &= (ulong)(long)i->Imm; i++; *(ulong*)(r + i->Dst) += *(ulong*)(r + i->Src); break;
                case Op.Mul64K_Add64K: *(ulong*)(r + i->Dst) *= (ulong)(long)i->Imm; i++; *(ulong*)(r + i->Dst) += (ulong)(long)i->Imm; break;
                case Op.Add64K_Add64K: *(ulong*)(r + i->Dst) += (ulong)(long)i->Imm; i++; *(ulong*)(r + i->Dst) += (ulong)(long)i->Imm; break;
                case Op.Mul64X_Add64X: *(ulong*)(r + i->Dst) *= *(ulong*)(r + i->Src); i++; *(ulong*)(r + i->Dst) += *(ulong*)(r + i->Src); break;
                case Op.Add64K_Jne64K: *(ulong*)(r + i->Dst) += (ulong)(long)i->Imm; i++; if (*(ulong*)(r + i->Dst) != (ulong)(long)i->Imm) goto taken; break;
                case Op.Add64K_Jeq64K: *(ulong*)(r + i->Dst) += (ulong)(long)i->Imm; i++; if (*(ulong*)(r + i->Dst) == (ulong)(long)i->Imm) goto taken; break;
                case Op.Add64K_Jgt64K: *(ulong*)(r + i->Dst) += (ulong)(long)i->Imm; i++; if (*(ulong*)(r + i->Dst) > (ulong)(long)i->Imm) goto taken; break;
                case Op.Add64K_Jne64X: *(ulong*)(r + i->Dst) += (ulong)(long)i->Imm; i++; if (*(ulong*)(r + i->Dst) != *(ulong*)(r + i->Src)) goto taken; break;
                case Op.Add64K_Jlt64X: *(ulong*)(r + i->Dst) += (ulong)(long)i->Imm; i++; if (*(ulong*)(r + i->Dst) < *(ulong*)(r + i->Src)) goto taken; break;
                case Op.Add64K_Jgt64X: *(ulong*)(r + i->Dst) += (ulong)(long)i->Imm; i++; if (*(ulong*)(r + i->Dst) > *(ulong*)(r + i->Src)) goto taken; break;
                case Op.Add64K_Ja: *(ulong*)(r + i->Dst) += (ulong)(long)i->Imm; i++; goto taken;
                case Op.And64K_Jeq64K: *(ulong*)(r + i->Dst) &= (ulong)(long)i->Imm; i++; if (*(ulong*)(r + i->Dst) == (ulong)(long)i->Imm) goto taken; break;
                case Op.And64K_Jne64K: *(ulong*)(r + i->Dst) &= (ulong)(long)i->Imm; i++; if (*(ulong*)(r + i->Dst) != (ulong)(long)i->Imm) goto taken; break;
                case Op.Mov64X_Jgt64K: *(ulong*)(r + i->Dst) = *(ulong*)(r + i->Src); i++; if (*(ulong*)(r + i->Dst) > (ulong)(long)i->Imm) goto taken; break;
                case Op.Mov64X_Jeq64K: *(ulong*)(r + i->Dst) = *(ulong*)(r + i->Src); i++; if (*(ulong*)(r + i->Dst) == (ulong)(long)i->Imm) goto taken; break;
                case Op.Mov64X_Ja: *(ulong*)(r + i->Dst) = *(ulong*)(r + i->Src); i++; goto taken;
                case Op.Rsh64K_Ja: *(ulong*)(r + i->Dst) >>= i->Imm; i++; goto taken;
                case Op.Sub64K_Jne64K: *(ulong*)(r + i->Dst) -= (ulong)(long)i->Imm; i++; if (*(ulong*)(r + i->Dst) != (ulong)(long)i->Imm) goto taken; break;
                case Op.Ldx64_Add64X: *(ulong*)(r + i->Dst) = *(ulong*)(*(byte**)(r + i->Src) + i->Off); i++; *(ulong*)(r + i->Dst) += *(ulong*)(r + i->Src); break;
                case Op.Ldx64_Add64K: *(ulong*)(r + i->Dst) = *(ulong*)(*(byte**)(r + i->Src) + i->Off); i++; *(ulong*)(r + i->Dst) += (ulong)(long)i->Imm; break;
                case Op.Ldx64_Mov64X: *(ulong*)(r + i->Dst) = *(ulong*)(*(byte**)(r + i->Src) + i->Off); i++; *(ulong*)(r + i->Dst) = *(ulong*)(r + i->Src); break;
                case Op.Ldx8_Add64X: *(ulong*)(r + i->Dst) = *(byte*)(*(byte**)(r + i->Src) + i->Off); i++; *(ulong*)(r + i->Dst) += *(ulong*)(r + i->Src); break;
                case Op.Ldx8_Xor64X: *(ulong*)(r + i->Dst) = *(byte*)(*(byte**)(r + i->Src) + i->Off); i++; *(ulong*)(r + i->Dst) ^= *(ulong*)(r + i->Src); break;
                case Op.Ldx8_Jeq64K: *(ulong*)(r + i->Dst) = *(byte*)(*(byte**)(r + i->Src) + i->Off); i++; if (*(ulong*)(r + i->Dst) == (ulong)(long)i->Imm) goto taken; break;
                case Op.Ldx8_Jne64K: *(ulong*)(r + i->Dst) = *(byte*)(*(byte**)(r + i->Src) + i->Off); i++; if (*(ulong*)(r + i->Dst) != (ulong)(long)i->Imm) goto taken; break;
                case Op.Ldx32_Add64X: *(ulong*)(r + i->Dst) = *(uint*)(*(byte**)(r + i->Src) + i->Off); i++; *(ulong*)(r + i->Dst) += *(ulong*)(r + i->Src); break;
                case Op.Ldx32_Jne64K: *(ulong*)(r + i->Dst) = *(uint*)(*(byte**)(r + i->Src) + i->Off); i++; if (*(ulong*)(r + i->Dst) != (ulong)(long)i->Imm) goto taken; break;
                case Op.Ldx32_Jeq64K: *(ulong*)(r + i->Dst) = *(uint*)(*(byte**)(r + i->Src) + i->Off); i++; if (*(ulong*)(r + i->Dst) == (ulong)(long)i->Imm) goto taken; break;
                case Op.Ldx32_Jgt64X: *(ulong*)(r + i->Dst) = *(uint*)(*(byte**)(r + i->Src) + i->Off); i++; if (*(ulong*)(r + i->Dst) > *(ulong*)(r + i->Src)) goto taken; break;
                case Op.Add64K_Stx64: *(ulong*)(r + i->Dst) += (ulong)(long)i->Imm; i++; *(ulong*)(*(byte**)(r + i->Dst) + i->Off) = *(ulong*)(r + i->Src); break;
                case Op.Add64X_Ldx64: *(ulong*)(r + i->Dst) += *(ulong*)(r + i->Src); i++; *(ulong*)(r + i->Dst) = *(ulong*)(*(byte**)(r + i->Src) + i->Off); break;
                case Op.Add64X_Ldx32: *(ulong*)(r + i->Dst) += *(ulong*)(r + i->Src); i++; *(ulong*)(r + i->Dst) = *(uint*)(*(byte**)(r + i->Src) + i->Off); break;
                case Op.Add64X_Ldx8: *(ulong*)(r + i->Dst) += *(ulong*)(r + i->Src); i++; *(ulong*)(r + i->Dst) = *(byte*)(*(byte**)(r + i->Src) + i->Off); break;
                case Op.Mov32X_Add32K: *(ulong*)(r + i->Dst) = *(uint*)(r + i->Src); i++; *(ulong*)(r + i->Dst) = *(uint*)(r + i->Dst) + (uint)i->Imm; break;
                case Op.Mov32X_And32K: *(ulong*)(r + i->Dst) = *(uint*)(r + i->Src); i++; *(ulong*)(r + i->Dst) = *(uint*)(r + i->Dst) & (uint)i->Imm; break;
                case Op.Mov32X_Lsh32K: *(ulong*)(r + i->Dst) = *(uint*)(r + i->Src); i++; *(ulong*)(r + i->Dst) = *(uint*)(r + i->Dst) << i->Imm; break;
                case Op.Mov32X_Rsh32K: *(ulong*)(r + i->Dst) = *(uint*)(r + i->Src); i++; *(ulong*)(r + i->Dst) = *(uint*)(r + i->Dst) >> i->Imm; break;
                case Op.Mov32X_Xor32X: *(ulong*)(r + i->Dst) = *(uint*)(r + i->Src); i++; *(ulong*)(r + i->Dst) = *(uint*)(r + i->Dst) ^ *(uint*)(r + i->Src); break;
                case Op.Mov32X_Neg32: *(ulong*)(r + i->Dst) = *(uint*)(r + i->Src); i++; *(ulong*)(r + i->Dst) = 0 - *(uint*)(r + i->Dst); break;
                case Op.Lsh32K_Xor32X: *(ulong*)(r + i->Dst) = *(uint*)(r + i->Dst) << i->Imm; i++; *(ulong*)(r + i->Dst) = *(uint*)(r + i->Dst) ^ *(uint*)(r + i->Src); break;
                case Op.Rsh32K_Xor32X: *(ulong*)(r + i->Dst) = *(uint*)(r + i->Dst) >> i->Imm; i++; *(ulong*)(r + i->Dst) = *(uint*)(r + i->Dst) ^ *(uint*)(r + i->Src); break;
                case Op.And32K_Jne32K: *(ulong*)(r + i->Dst) = *(uint*)(r + i->Dst) & (uint)i->Imm; i++; if (*(uint*)(r + i->Dst) != (uint)i->Imm) goto taken; break;
                case Op.And32K_Jeq32K: *(ulong*)(r + i->Dst) = *(uint*)(r + i->Dst) & (uint)i->Imm; i++; if (*(uint*)(r + i->Dst) == (uint)i->Imm) goto taken; break;
                case Op.And32K_Neg32: *(ulong*)(r + i->Dst) = *(uint*)(r + i->Dst) & (uint)i->Imm; i++; *(ulong*)(r + i->Dst) = 0 - *(uint*)(r + i->Dst); break;
                case Op.Add32K_Jne32K: *(ulong*)(r + i->Dst) = *(uint*)(r + i->Dst) + (uint)i->Imm; i++; if (*(uint*)(r + i->Dst) != (uint)i->Imm) goto taken; break;
                case Op.Add32K_Jne32X: *(ulong*)(r + i->Dst) = *(uint*)(r + i->Dst) + (uint)i->Imm; i++; if (*(uint*)(r + i->Dst) != *(uint*)(r + i->Src)) goto taken; break;
                case Op.Add32K_Ja: *(ulong*)(r + i->Dst) = *(uint*)(r + i->Dst) + (uint)i->Imm; i++; goto taken;
                case Op.Xor32X_Mov32X: *(ulong*)(r + i->Dst) = *(uint*)(r + i->Dst) ^ *(uint*)(r + i->Src); i++; *(ulong*)(r + i->Dst) = *(uint*)(r + i->Src); break;
                case Op.And64K_Neg64: *(ulong*)(r + i->Dst) &= (ulong)(long)i->Imm; i++; *(ulong*)(r + i->Dst) = 0 - *(ulong*)(r + i->Dst); break;
                case Op.Neg64_And64K: *(ulong*)(r + i->Dst) = 0 - *(ulong*)(r + i->Dst); i++; *(ulong*)(r + i->Dst) &= (ulong)(long)i->Imm; break;
                case Op.Neg64_And64X: *(ulong*)(r + i->Dst) = 0 - *(ulong*)(r + i->Dst); i++; *(ulong*)(r + i->Dst) &= *(ulong*)(r + i->Src); break;
                case Op.Neg32_And32K: *(ulong*)(r + i->Dst) = 0 - *(uint*)(r + i->Dst); i++; *(ulong*)(r + i->Dst) = *(uint*)(r + i->Dst) & (uint)i->Imm; break;
                case Op.And32K_Xor32X: *(ulong*)(r + i->Dst) = *(uint*)(r + i->Dst) & (uint)i->Imm; i++; *(ulong*)(r + i->Dst) = *(uint*)(r + i->Dst) ^ *(uint*)(r + i->Src); break;
                case Op.And32X_Xor32X: *(ulong*)(r + i->Dst) = *(uint*)(r + i->Dst) & *(uint*)(r + i->Src); i++; *(ulong*)(r + i->Dst) = *(uint*)(r + i->Dst) ^ *(uint*)(r + i->Src); break;
                case Op.Mov64X_Lsh64K_Xor64X: *(ulong*)(r + i->Dst) = *(ulong*)(r + i->Src); i++; *(ulong*)(r + i->Dst) <<= i->Imm; i++; *(ulong*)(r + i->Dst) ^= *(ulong*)(r + i->Src); break;
                case Op.Mov64X_Rsh64K_Xor64X: *(ulong*)(r + i->Dst) = *(ulong*)(r + i->Src); i++; *(ulong*)(r + i->Dst) >>= i->Imm; i++; *(ulong*)(r + i->Dst) ^= *(ulong*)(r + i->Src); break;
                case Op.Lsh64K_Rsh64K_Lsh64K: *(ulong*)(r + i->Dst) <<= i->Imm; i++; *(ulong*)(r + i->Dst) >>= i->Imm; i++; *(ulong*)(r + i->Dst) <<= i->Imm; break;
                case Op.Ldx64_Add64K_Stx64: *(ulong*)(r + i->Dst) = *(ulong*)(*(byte**)(r + i->Src) + i->Off); i++; *(ulong*)(r + i->Dst) += (ulong)(long)i->Imm; i++; *(ulong*)(*(byte**)(r + i->Dst) + i->Off) = *(ulong*)(r + i->Src); break;
                case Op.Mov32X_Lsh32K_Xor32X: *(ulong*)(r + i->Dst) = *(uint*)(r + i->Src); i++; *(ulong*)(r + i->Dst) = *(uint*)(r + i->Dst) << i->Imm; i++; *(ulong*)(r + i->Dst) = *(uint*)(r + i->Dst) ^ *(uint*)(r + i->Src); break;
                case Op.Mov32X_Rsh32K_Xor32X: *(ulong*)(r + i->Dst) = *(uint*)(r + i->Src); i++; *(ulong*)(r + i->Dst) = *(uint*)(r + i->Dst) >> i->Imm; i++; *(ulong*)(r + i->Dst) = *(uint*)(r + i->Dst) ^ *(uint*)(r + i->Src); break;
                case Op.Mov64X_And64K_Jeq64K: *(ulong*)(r + i->Dst) = *(ulong*)(r + i->Src); i++; *(ulong*)(r + i->Dst) &= (ulong)(long)i->Imm; i++; if (*(ulong*)(r + i->Dst) == (ulong)(long)i->Imm) goto taken; break;
                case Op.Mov64X_And64K_Jne64K: *(ulong*)(r + i->Dst) = *(ulong*)(r + i->Src); i++; *(ulong*)(r + i->Dst) &= (ulong)(long)i->Imm; i++; if (*(ulong*)(r + i->Dst) != (ulong)(long)i->Imm) goto taken; break;
                case Op.Lsh64K_Rsh64K_Jne64K: *(ulong*)(r + i->Dst) <<= i->Imm; i++; *(ulong*)(r + i->Dst) >>= i->Imm; i++; if (*(ulong*)(r + i->Dst) != (ulong)(long)i->Imm) goto taken; break;
                case Op.Add32K_Jeq32K: *(ulong*)(r + i->Dst) = *(uint*)(r + i->Dst) + (uint)i->Imm; i++; if (*(uint*)(r + i->Dst) == (uint)i->Imm) goto taken; break;
                case Op.Add32K_Jeq32K_Ja: *(ulong*)(r + i->Dst) = *(uint*)(r + i->Dst) + (uint)i->Imm; i++; if (*(uint*)(r + i->Dst) == (uint)i->Imm) goto taken; i++; goto taken;
                case Op.Add64K_Jeq64K_Ja: *(ulong*)(r + i->Dst) += (ulong)(long)i->Imm; i++; if (*(ulong*)(r + i->Dst) == (ulong)(long)i->Imm) goto taken; i++; goto taken;
                case Op.Jeq32K_Ja: if (*(uint*)(r + i->Dst) == (uint)i->Imm) goto taken; i++; goto taken;
                case Op.Jeq64K_Ja: if (*(ulong*)(r + i->Dst) == (ulong)(long)i->Imm) goto taken; i++; goto taken;
                case Op.Jne32K_Ja: if (*(uint*)(r + i->Dst) != (uint)i->Imm) goto taken; i++; goto taken;
                case Op.Jne64K_Ja: if (*(ulong*)(r + i->Dst) != (ulong)(long)i->Imm) goto taken; i++; goto taken;
                case Op.Mov64X_Jeq32K: *(ulong*)(r + i->Dst) = *(ulong*)(r + i->Src); i++; if (*(uint*)(r + i->Dst) == (uint)i->Imm) goto taken; break;
                case Op.Mov64X_Jeq32K_Ja: *(ulong*)(r + i->Dst) = *(ulong*)(r + i->Src); i++; if (*(uint*)(r + i->Dst) == (uint)i->Imm) goto taken; i++; goto taken;
                case Op.And64K_Jeq64K_Ja: *(ulong*)(r + i->Dst) &= (ulong)(long)i->Imm; i++; if (*(ulong*)(r + i->Dst) == (ulong)(long)i->Imm) goto taken; i++; goto taken;
                case Op.Mov64X_Add64K_Add64X: *(ulong*)(r + i->Dst) = *(ulong*)(r + i->Src); i++; *(ulong*)(r + i->Dst) += (ulong)(long)i->Imm; i++; *(ulong*)(r + i->Dst) += *(ulong*)(r + i->Src); break;
                case Op.Add64X_Add64K: *(ulong*)(r + i->Dst) += *(ulong*)(r + i->Src); i++; *(ulong*)(r + i->Dst) += (ulong)(long)i->Imm; break;
                case Op.Lsh64K_Mov64X: *(ulong*)(r + i->Dst) <<= i->Imm; i++; *(ulong*)(r + i->Dst) = *(ulong*)(r + i->Src); break;
                case Op.Mov64X_Lsh64K_Mov64X: *(ulong*)(r + i->Dst) = *(ulong*)(r + i->Src); i++; *(ulong*)(r + i->Dst) <<= i->Imm; i++; *(ulong*)(r + i->Dst) = *(ulong*)(r + i->Src); break;
                case Op.Lsh32K_Rsh32X: *(ulong*)(r + i->Dst) = *(uint*)(r + i->Dst) << i->Imm; i++; *(ulong*)(r + i->Dst) = *(uint*)(r + i->Dst) >> *(int*)(r + i->Src); break;
                case Op.Mov32K_Lsh32K_Rsh32X: *(ulong*)(r + i->Dst) = (uint)i->Imm; i++; *(ulong*)(r + i->Dst) = *(uint*)(r + i->Dst) << i->Imm; i++; *(ulong*)(r + i->Dst) = *(uint*)(r + i->Dst) >> *(int*)(r + i->Src); break;
                case Op.Or32X_Or32X: *(ulong*)(r + i->Dst) = *(uint*)(r + i->Dst) | *(uint*)(r + i->Src); i++; *(ulong*)(r + i->Dst) = *(uint*)(r + i->Dst) | *(uint*)(r + i->Src); break;
                case Op.Add64X_Add64X: *(ulong*)(r + i->Dst) += *(ulong*)(r + i->Src); i++; *(ulong*)(r + i->Dst) += *(ulong*)(r + i->Src); break;
                case Op.Mov32K_Jgt32K: *(ulong*)(r + i->Dst) = (uint)i->Imm; i++; if (*(uint*)(r + i->Dst) > (uint)i->Imm) goto taken; break;
                case Op.Jgt64K_Mov64X: if (*(ulong*)(r + i->Dst) > (ulong)(long)i->Imm) goto taken; i++; *(ulong*)(r + i->Dst) = *(ulong*)(r + i->Src); break;
                case Op.Jgt32K_Mov32K: if (*(uint*)(r + i->Dst) > (uint)i->Imm) goto taken; i++; *(ulong*)(r + i->Dst) = (uint)i->Imm; break;
                case Op.Jne64K_Add64K: if (*(ulong*)(r + i->Dst) != (ulong)(long)i->Imm) goto taken; i++; *(ulong*)(r + i->Dst) += (ulong)(long)i->Imm; break;
                case Op.Mov64X_Jne64K: *(ulong*)(r + i->Dst) = *(ulong*)(r + i->Src); i++; if (*(ulong*)(r + i->Dst) != (ulong)(long)i->Imm) goto taken; break;
                case Op.Add64X_Jeq64K: *(ulong*)(r + i->Dst) += *(ulong*)(r + i->Src); i++; if (*(ulong*)(r + i->Dst) == (ulong)(long)i->Imm) goto taken; break;
                case Op.Mul64K_Add64K_Mov64X: *(ulong*)(r + i->Dst) *= (ulong)(long)i->Imm; i++; *(ulong*)(r + i->Dst) += (ulong)(long)i->Imm; i++; *(ulong*)(r + i->Dst) = *(ulong*)(r + i->Src); break;
                case Op.Rsh64K_Mov64X_And64K: *(ulong*)(r + i->Dst) >>= i->Imm; i++; *(ulong*)(r + i->Dst) = *(ulong*)(r + i->Src); i++; *(ulong*)(r + i->Dst) &= (ulong)(long)i->Imm; break;
                case Op.Mov64X_Mod64K: *(ulong*)(r + i->Dst) = *(ulong*)(r + i->Src); i++; *(ulong*)(r + i->Dst) = Arithmetic.Modulo(*(ulong*)(r + i->Dst), (ulong)(long)i->Imm); break;
                case Op.Mov64X_Div64K: *(ulong*)(r + i->Dst) = *(ulong*)(r + i->Src); i++; *(ulong*)(r + i->Dst) = Arithmetic.Divide(*(ulong*)(r + i->Dst), (ulong)(long)i->Imm); break;
                case Op.Mod64K_Mov64X: *(ulong*)(r + i->Dst) = Arithmetic.Modulo(*(ulong*)(r + i->Dst), (ulong)(long)i->Imm); i++; *(ulong*)(r + i->Dst) = *(ulong*)(r + i->Src); break;
                case Op.Xor64X_Mov64X_Rsh64K: *(ulong*)(r + i->Dst) ^= *(ulong*)(r + i->Src); i++; *(ulong*)(r + i->Dst) = *(ulong*)(r + i->Src); i++; *(ulong*)(r + i->Dst) >>= i->Imm; break;
                case Op.Xor64X_Mov64X_Lsh64K: *(ulong*)(r + i->Dst) ^= *(ulong*)(r + i->Src); i++; *(ulong*)(r + i->Dst) = *(ulong*)(r + i->Src); i++; *(ulong*)(r + i->Dst) <<= i->Imm; break;
                case Op.Add64K_Mov64X_Jne64K: *(ulong*)(r + i->Dst) += (ulong)(long)i->Imm; i++; *(ulong*)(r + i->Dst) = *(ulong*)(r + i->Src); i++; if (*(ulong*)(r + i->Dst) != (ulong)(long)i->Imm) goto taken; break;
                case Op.Xor64X_Add32K_Jeq32K: *(ulong*)(r + i->Dst) ^= *(ulong*)(r + i->Src); i++; *(ulong*)(r + i->Dst) = *(uint*)(r + i->Dst) + (uint)i->Imm; i++; if (*(uint*)(r + i->Dst) == (uint)i->Imm) goto taken; break;
                case Op.Jeq64K_Mov64X: if (*(ulong*)(r + i->Dst) == (ulong)(long)i->Imm) goto taken; i++; *(ulong*)(r + i->Dst) = *(ulong*)(r + i->Src); break;
                case Op.Jne64K_Mov64X: if (*(ulong*)(r + i->Dst) != (ulong)(long)i->Imm) goto taken; i++; *(ulong*)(r + i->Dst) = *(ulong*)(r + i->Src); break;
                case Op.Add64K_Add64X_Ldx8: *(ulong*)(r + i->Dst) += (ulong)(long)i->Imm; i++; *(ulong*)(r + i->Dst) += *(ulong*)(r + i->Src); i++; *(ulong*)(r + i->Dst) = *(byte*)(*(byte**)(r + i->Src) + i->Off); break;
                case Op.Add64X_Stx8: *(ulong*)(r + i->Dst) += *(ulong*)(r + i->Src); i++; *(byte*)(*(byte**)(r + i->Dst) + i->Off) = *(byte*)(r + i->Src); break;
                case Op.Mov64X_Add64X_Ldx8: *(ulong*)(r + i->Dst) = *(ulong*)(r + i->Src); i++; *(ulong*)(r + i->Dst) += *(ulong*)(r + i->Src); i++; *(ulong*)(r + i->Dst) = *(byte*)(*(byte**)(r + i->Src) + i->Off); break;
                case Op.Mov64X_Add64X_Ldx32: *(ulong*)(r + i->Dst) = *(ulong*)(r + i->Src); i++; *(ulong*)(r + i->Dst) += *(ulong*)(r + i->Src); i++; *(ulong*)(r + i->Dst) = *(uint*)(*(byte**)(r + i->Src) + i->Off); break;

                // calls and the end
                case Op.CallHelper:
                    s->Fuel = fuel;
                    if (!CallHelper(i, (ulong*)r, s)) return 0;
                    fuel = s->Fuel;
                    break;
                case Op.CallMissing:
                    *(ulong*)r = unchecked((ulong)-(long)Errno.EOPNOTSUPP);
                    break;
                case Op.CallLocal:
                    if (--fuel < 0) return Stop(s, RunFault.OutOfFuel, i);
                    if (!Enter(i, (ulong*)r, s)) return Stop(s, RunFault.CallTooDeep, i);
                    i = (DecodedInsn*)((byte*)i + i->Jump);
                    continue;
                case Op.Exit:
                    if (s->Frames == 0)
                    {
                        s->Fuel = fuel;
                        return *(ulong*)r;
                    }

                    i = Leave((ulong*)r, s);
                    continue;
                case Op.TailCall:
                    s->Fuel = fuel;
                    switch (TailCall((ulong*)r, s))
                    {
                        case TailCallOutcome.Failed: break;
                        case TailCallOutcome.Ended: return *(ulong*)r;
                        default: i = s->Start; continue;
                    }

                    break;
                case Op.MayGoto:
                    if (s->MayGoto == 0) goto taken;
                    s->MayGoto--;
                    break;
                case Op.LdAbs:
                    if (!LoadPacket(s, (ulong*)r, (uint)i->Imm, i->Off)) return 0;
                    break;
                case Op.LdInd:
                    if (!LoadPacket(s, (ulong*)r, (uint)i->Imm + *(uint*)(r + i->Src), i->Off)) return 0;
                    break;
                default:
                    return Stop(s, RunFault.BadInstruction, i);
            }

            i++;
            continue;
        taken:
            if (--fuel < 0) return Stop(s, RunFault.OutOfFuel, i);
            i = (DecodedInsn*)((byte*)i + i->Jump);
        }
    }

    [MethodImpl(MethodImplOptions.NoInlining)]
    private static bool CallHelper(DecodedInsn* i, ulong* r, State* s)
    {
        RunContext* context = s->Context;
        long outer = context->Fuel;
        context->Fuel = s->Fuel;
        r[0] = i->Function(r[1], r[2], r[3], r[4], r[5], context);
        s->Fuel = context->Fuel;
        context->Fuel = outer;
        return context->Fault == RunFault.None;
    }

    [MethodImpl(MethodImplOptions.NoInlining)]
    private static bool Enter(DecodedInsn* i, ulong* r, State* s)
    {
        if (s->Frames == ProgramRuntime.MaxFrames - 1) return false;
        s->Saved[s->Frames++] = new Frame(i + 1, s->Start, s->Program, r[6], r[7], r[8], r[9], r[10]);
        r[10] += ProgramRuntime.StackSize;
        Clear((byte*)r[10], i->Src);
        return true;
    }

    /// <summary>Zeros the bytes below an address, a multiple of 8.</summary>
    private static void Clear(byte* end, int bytes)
    {
        // A call of memset costs more than a few stores.
        if (bytes > 64) Unsafe.InitBlock(end - bytes, 0, (uint)bytes);
        else for (ulong* at = (ulong*)(end - bytes); at < end; at++) *at = 0;
    }

    private static DecodedInsn* Leave(ulong* r, State* s)
    {
        ref Frame frame = ref s->Saved[--s->Frames];
        r[6] = frame.R6;
        r[7] = frame.R7;
        r[8] = frame.R8;
        r[9] = frame.R9;
        r[10] = frame.R10;
        if (s->Start == frame.Start) return frame.Return;
        // A tail call in the function went to another program.
        s->Start = frame.Start;
        s->Program = frame.Program;
        s->Context->Program = frame.Program;
        return frame.Return;
    }

    /// <summary>The target replaces this function's frame; its callers, if any, go on when it exits.</summary>
    [MethodImpl(MethodImplOptions.NoInlining)]
    private static TailCallOutcome TailCall(ulong* r, State* s)
    {
        RunContext* context = s->Context;
        if (context->TailCalls >= ProgramRuntime.MaxTailCalls) return TailCallOutcome.Failed;
        if (ProgramRuntime.TailCallTarget((MapHeader*)r[2], (uint)r[3]) is not { } target) return TailCallOutcome.Failed;
        context->TailCalls++;
        if (target is InterpretedProgram next)
        {
            context->Program = next.Handle;
            s->Program = next.Handle;
            s->Start = next.Code;
            Clear((byte*)r[10], next.StackBytes);
            return TailCallOutcome.Entered;
        }

        r[0] = InterpretedProgram.Leave(target, r[1], context);
        return TailCallOutcome.Ended;
    }

    [MethodImpl(MethodImplOptions.NoInlining)]
    private static bool LoadPacket(State* s, ulong* r, uint offset, int size)
    {
        ExecutableProgram? program = LoadedProgram.Running(s->Context)?.Program;
        return program is not null && ProgramRuntime.LoadPacket(program, r[6], offset, size, s->Context, out r[0]);
    }

    [MethodImpl(MethodImplOptions.NoInlining)]
    private static ulong Probe(State* s, ulong address, uint size)
    {
        byte* at = ProgramRuntime.Arena(s->Context, address, size);
        if (at == null) return 0;
        return size switch { 1 => *at, 2 => *(ushort*)at, 4 => *(uint*)at, _ => *(ulong*)at };
    }

    [MethodImpl(MethodImplOptions.NoInlining)]
    private static ulong Stop(State* s, RunFault fault, DecodedInsn* i)
    {
        s->Context->Fault = fault;
        s->Context->FaultInsn = (int)(i - s->Start);
        return 0;
    }

    private enum TailCallOutcome { Failed, Entered, Ended }

    /// <summary>What a run needs apart from its registers.</summary>
    private struct State
    {
        public RunContext* Context;

        /// <summary>First slot of the running program.</summary>
        public DecodedInsn* Start;

        /// <summary>Its handle.</summary>
        public nint Program;

        public long Fuel;

        public uint MayGoto;

        public int Frames;

        public FrameArray Saved;
    }

    [InlineArray(ProgramRuntime.MaxFrames)]
    private struct FrameArray
    {
        private Frame _first;
    }

    private readonly struct Frame(DecodedInsn* back, DecodedInsn* start, nint program, ulong r6, ulong r7, ulong r8, ulong r9, ulong r10)
    {
        public readonly DecodedInsn* Return = back;
        public readonly DecodedInsn* Start = start;
        public readonly nint Program = program;
        public readonly ulong R6 = r6, R7 = r7, R8 = r8, R9 = r9, R10 = r10;
    }
}
