using BpfSim.Vm.Btf;

namespace BpfSim.Vm.Verifier.Calls;

/// <summary>What lies at an offset into a type.</summary>
internal enum BtfWalkKind
{
    /// <summary>Nothing that may be accessed so; the message says why.</summary>
    Error,
    /// <summary>A number.</summary>
    Scalar,
    /// <summary>A pointer to a struct or union.</summary>
    Pointer,
    /// <summary>A pointer to something else.</summary>
    PointerToOther,
    /// <summary>A struct or union that starts here.</summary>
    Struct,
}

/// <summary>The answer of <see cref="BtfWalk.Step"/>.</summary>
/// <param name="Kind">What is there.</param>
/// <param name="TypeId">The struct, or the type pointed to.</param>
/// <param name="Field">Name of the pointer's field.</param>
/// <param name="Untrusted">The way led through a union.</param>
/// <param name="Tag">Type tag of the pointer, empty if none.</param>
/// <param name="Message">Why not.</param>
/// <param name="Invalid">Whether the error is EINVAL rather than EACCES.</param>
internal readonly record struct BtfStep(
    BtfWalkKind Kind, uint TypeId = 0, string Field = "", bool Untrusted = false, string Tag = "", string? Message = null, bool Invalid = false);

/// <summary>Finds the field at an offset of a struct, through nested structs, unions and arrays.</summary>
internal static class BtfWalk
{
    /// <summary>Goes one struct deep; a nested struct that starts exactly at the offset ends the step.</summary>
    /// <param name="type">The struct or union.</param>
    /// <param name="off">Bytes into it.</param>
    /// <param name="size">Bytes accessed.</param>
    /// <param name="untrusted">Whether an earlier step led through a union already: then numbers may be read across members.</param>
    public static BtfStep Step(BtfType type, long off, int size, bool untrusted = false)
    {
        while (true)
        {
            type = type.Btf.Resolve(type.Id);
            if (!type.IsComposite) return Invalid($"Type '{BtfText.NameOf(type.Name)}' is not a struct");
            if (type.Kind == BtfKind.Union && type.Vlen != 1) untrusted = true;
            if (off + size > type.Size)
            {
                if (!TryFlexibleArray(ref type, ref off, out bool scalar))
                    return Error($"access beyond struct {BtfText.NameOf(type.Name)} at off {off} size {size}");
                if (scalar) return new BtfStep(BtfWalkKind.Scalar, Untrusted: untrusted);
                continue;
            }

            BtfStep? found = FindMember(ref type, ref off, size, untrusted);
            if (found is { } step) return step;
        }
    }

    private static BtfStep Error(string message) => new(BtfWalkKind.Error, Message: message);

    private static BtfStep Invalid(string message) => new(BtfWalkKind.Error, Message: message, Invalid: true);

    /// <summary>An offset behind a struct may fall into the array of unknown length at its end.</summary>
    private static bool TryFlexibleArray(ref BtfType type, ref long off, out bool scalar)
    {
        scalar = false;
        if (type.Vlen == 0) return false;
        BtfMember last = type.Members[type.Vlen - 1];
        BtfType array = type.Btf.Resolve(last.TypeId);
        if (array.Kind != BtfKind.Array || array.ArrayCount != 0 || off < last.ByteOffset) return false;
        BtfType element = type.Btf.Resolve(array.ArrayElementTypeId);
        if (element.Kind == BtfKind.Int)
        {
            scalar = true;
            return true;
        }

        if (!element.IsComposite || element.Size == 0) return false;
        off = (off - last.ByteOffset) % element.Size;
        type = element;
        return true;
    }

    /// <summary>The step's result, or null if the walk must go on inside <paramref name="type"/>, which then is the nested struct.</summary>
    private static BtfStep? FindMember(ref BtfType type, ref long off, int size, bool untrusted)
    {
        foreach (BtfMember member in type.Members)
        {
            long start = member.ByteOffset;
            if (off + size <= start) break;
            if (member.BitfieldSize != 0)
            {
                long endBit = member.BitOffset + (long)member.BitfieldSize;
                if (off <= start && (endBit + 7) / 8 <= off + size) return new BtfStep(BtfWalkKind.Scalar, Untrusted: untrusted);
                continue;
            }

            if (off < start) break;
            BtfType field = type.Btf.Resolve(member.TypeId);
            long length = type.Btf.SizeOf(field.Id);
            if (length < 0) return Error($"field {BtfText.NameOf(member.Name)} doesn't have size");
            long end = start + length;
            if (off >= end) continue;
            if (field.Kind == BtfKind.Array)
            {
                if (start == end) continue;
                (field, long elementSize) = Element(field);
                start += (off - start) / elementSize * elementSize;
                length = elementSize;
            }

            if (field.IsComposite)
            {
                if (off == start) return new BtfStep(BtfWalkKind.Struct, field.Id, Untrusted: untrusted);
                off -= start;
                type = field;
                return null;
            }

            if (field.Kind == BtfKind.Ptr) return PointerStep(type, member, field, start, length, off, size, untrusted);
            if (off + size > end && !untrusted)
            {
                return Error(
                    $"access beyond the end of member {BtfText.NameOf(member.Name)} (mend:{end}) in struct {BtfText.NameOf(type.Name)} with off {off} size {size}");
            }

            return new BtfStep(BtfWalkKind.Scalar, Untrusted: untrusted);
        }

        return Invalid($"struct {BtfText.NameOf(type.Name)} doesn't have field at offset {off}");
    }

    private static (BtfType Element, long Size) Element(BtfType array)
    {
        while (array.Kind == BtfKind.Array) array = array.Btf.Resolve(array.ArrayElementTypeId);
        return (array, Math.Max(1, array.Btf.SizeOf(array.Id)));
    }

    private static BtfStep PointerStep(
        BtfType type, BtfMember member, BtfType pointer, long start, long length, long off, int size, bool untrusted)
    {
        if (length != size || off != start)
        {
            return Error(
                $"cannot access ptr member {BtfText.NameOf(member.Name)} with moff {start} in struct {BtfText.NameOf(type.Name)} with off {off} size {size}");
        }

        string tag = pointer.Target.Kind == BtfKind.TypeTag ? pointer.Target.Name : "";
        BtfType target = type.Btf.Resolve(pointer.TypeId);
        return target.IsComposite
            ? new BtfStep(BtfWalkKind.Pointer, target.Id, member.Name, untrusted, tag)
            : new BtfStep(BtfWalkKind.PointerToOther, target.Id, member.Name, untrusted, tag);
    }
}
