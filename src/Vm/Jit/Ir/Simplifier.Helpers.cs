using BpfSim.Maps;
using BpfSim.Vm.Helpers;
using BpfSim.Vm.Programs;

namespace BpfSim.Vm.Jit.Ir;

/// <summary>Helper calls that become code: lookups in known maps, and what stands in the run context.</summary>
internal sealed unsafe partial class Simplifier
{
    private const int MapLookupElem = 1, MapUpdateElem = 2, MapDeleteElem = 3, RingbufOutput = 130, RingbufReserve = 131, RingbufSubmit = 132, RingbufDiscard = 133;
    private const int LargestInlineCopy = 128;
    private const int KtimeGetNs = 5, GetSmpProcessorId = 8, GetCurrentPidTgid = 14, GetCurrentUidGid = 15, GetCurrentTask = 35, GetCurrentTaskBtf = 158;

    private void RewriteHelper(ref IrInsn n)
    {
        HelperPrototype? helper = _program.Source.Helpers.Find((int)n.Imm);
        if (helper == null || helper.Implementation == null) return;
        (int offset, int size) = n.Imm switch
        {
            KtimeGetNs => (RunContextOffsets.TimeNs, 8),
            GetSmpProcessorId => (RunContextOffsets.CpuId, 4),
            GetCurrentPidTgid => (RunContextOffsets.PidTgid, 8),
            GetCurrentUidGid => (RunContextOffsets.UidGid, 8),
            GetCurrentTask or GetCurrentTaskBtf => (RunContextOffsets.CurrentTask, 8),
            _ => (-1, 0),
        };
        if (offset >= 0 && _options.InlineContextReads)
        {
            // The registers that a call would have made unreadable may keep their values.
            (n.Op, n.Dst, n.Off, n.Size) = (IrOp.ContextField, 0, offset, (byte)size);
            return;
        }
        if (n.Imm == MapLookupElem && _options.InlineLookups) RewriteLookup(ref n);
        else if (n.Imm is MapUpdateElem or MapDeleteElem && _options.InlineUpdates) DescribeUpdate(ref n);
        else if (n.Imm is >= RingbufOutput and <= RingbufDiscard && _options.InlineRings) DescribeRing(ref n);
    }

    /// <summary>The call stays a call for all that follows; emission does its work in another way.</summary>
    private void DescribeRing(ref IrInsn n)
    {
        if (n.Imm is RingbufSubmit or RingbufDiscard)
        {
            if (!IsConstant(2, 0, 1, out int flags)) return;
            (n.Sub, n.Off, n.Flag) = (IrOp.RingCommit, flags, n.Imm == RingbufDiscard);
            return;
        }
        int index = FindMap(n.Slot);
        if ((uint)index >= (uint)_program.Source.Maps.Length) return;
        MapHeader* map = _program.Source.Maps[index].Header;
        if (map->Type != MapType.Ringbuf || map->Mask > int.MaxValue) return;
        int most = (int)map->Mask + 1 - RingbufLayout.HeaderSize;
        if (n.Imm == RingbufReserve)
        {
            if (IsConstant(2, 1, most, out int size) && IsConstant(3, 0, 0, out _)) (n.Sub, n.Off, n.Target) = (IrOp.RingReserve, size, index);
        }
        else if (IsConstant(3, 1, Math.Min(most, LargestInlineCopy), out int size) && IsConstant(4, 0, 1, out int flags))
        {
            (n.Sub, n.Off, n.Size, n.Target) = (IrOp.RingOutput, size, (byte)flags, index);
        }
    }

    private void DescribeUpdate(ref IrInsn n)
    {
        int index = FindMap(n.Slot), flags = 0;
        if ((uint)index >= (uint)_program.Source.Maps.Length) return;
        MapHeader* map = _program.Source.Maps[index].Header;
        if (map->Lists == null || map->KeySize is not (4 or 8 or 16) || map->ValueSize > LargestInlineCopy) return;
        if (n.Imm == MapUpdateElem && !IsConstant(4, 0, 2, out flags)) return;
        (n.Sub, n.Off, n.Target) = (n.Imm == MapUpdateElem ? IrOp.HashUpdate : IrOp.HashDelete, flags, index);
    }

    private bool IsConstant(int register, int least, int most, out int value)
    {
        ref readonly RegisterValues.Value v = ref _values[register];
        value = (int)v.Constant;
        return v.IsConstant && v.Constant >= least && v.Constant <= most;
    }

    private void RewriteLookup(ref IrInsn n)
    {
        int index = FindMap(n.Slot);
        // The inner map of a map-in-map is known to the verifier, but is none of the maps that the program refers to.
        if ((uint)index >= (uint)_program.Source.Maps.Length) return;
        MapHeader* map = _program.Source.Maps[index].Header;
        bool array = map->Type is MapType.Array or MapType.PercpuArray;
        bool hash = map->Type is MapType.Hash or MapType.PercpuHash or MapType.LruHash or MapType.LruPercpuHash;
        if ((!array && !hash) || map->Data == null || (hash && map->KeySize is not (4 or 8 or 16))) return;
        if (map->Stride > int.MaxValue || map->CpuStride > int.MaxValue) return;
        n.Imm = index;
        (n.A, n.Off) = (2, 0);
        if (_options.AddressFolding && _values.TrySum(2, out RegisterValues.Value key) && key.Base is not (None or 0) && key.Index == None && key.Constant == (int)key.Constant)
            (n.A, n.Off) = (key.Base, (int)key.Constant);
        n.Op = IrOp.MapLookup;
        n.Dst = 0;
        FindKey(ref n, map);
        InsnFacts facts = _options.UseFacts && n.Slot < _program.Source.Facts.Length ? _program.Source.Facts[n.Slot] : default;
        if (array && facts.HasConstKey) (n.Flag, n.Target) = (true, (int)facts.ConstKey);
        if (!array) n.Flag = false;
        if (map->Type != MapType.Array || !n.Flag) return;
        // A plain array with a constant key: the address is a constant.
        uint slot = (uint)n.Target;
        (n.Op, n.Imm, n.A, n.B, n.Flag, n.Target) = (IrOp.MovImm, slot < map->MaxEntries ? (long)(map->Data + (slot * map->Stride)) : 0, None, None, false, 0);
    }

    /// <summary>The key's value, where it was just stored on the own stack.</summary>
    private void FindKey(ref IrInsn n, MapHeader* map)
    {
        if (!_options.StackForwarding || n.A != FramePointer || map->KeySize is not (4 or 8)) return;
        if (!_slots.TryFind(n.Off, (int)map->KeySize, _values, out byte register, out long constant)) return;
        if (register != None) n.B = register;
        else if (map->KeySize == 4) (n.Flag, n.Target) = (true, (int)constant);
    }

    private int FindMap(int slot)
    {
        if (_options.UseFacts && slot < _program.Source.Facts.Length && _program.Source.Facts[slot].MapIndex is var known and > 0) return known - 1;
        if (!_values[1].IsConstant) return -1;
        for (int i = 0; i < _program.Source.Maps.Length; i++)
            if ((long)_program.Source.Maps[i].Header == _values[1].Constant) return i;
        return -1;
    }
}
