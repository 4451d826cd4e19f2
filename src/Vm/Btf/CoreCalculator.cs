namespace BpfSim.Vm.Btf;

/// <summary>What a relocation comes to: the values before and after, and how careful the patching has to be.</summary>
internal record struct CoreResult
{
    /// <summary>The value that the compiler put in, by the object's BTF.</summary>
    public ulong OldValue;

    /// <summary>The value by the kernel's BTF.</summary>
    public ulong NewValue;

    /// <summary>The target does not exist: reaching the instruction is an error.</summary>
    public bool Poison;

    /// <summary>Whether the instruction must hold <see cref="OldValue"/>.</summary>
    public bool Validate;

    /// <summary>Whether a load or store cannot follow the change of the field's size.</summary>
    public bool CannotResize;

    /// <summary>Size in bytes of the field accessed, by the object's BTF; 0 if it does not matter.</summary>
    public uint OldSize;

    /// <summary>Size in bytes of the field accessed, by the kernel's BTF.</summary>
    public uint NewSize;
}

/// <summary>Computes what each kind of CO-RE relocation asks for.</summary>
internal static class CoreCalculator
{
    /// <summary>Compares a path in the object's BTF with the one found in the kernel's (null if there is none).</summary>
    /// <returns>Null, or why the question has no answer.</returns>
    public static string? Calculate(CoreSpec local, CoreSpec? target, out CoreResult result)
    {
        result = new CoreResult { Validate = true };
        if (CoreSpec.IsTypeBased(local.Kind))
        {
            result.OldValue = TypeValue(local);
            result.NewValue = target == null ? 0 : TypeValue(target);
            result.Validate = local.Kind != CoreRelocationKind.TypeIdTarget;
            return null;
        }
        if (CoreSpec.IsEnumBased(local.Kind))
        {
            bool exists = local.Kind == CoreRelocationKind.EnumvalExists;
            result.OldValue = exists ? 1 : EnumValue(local);
            if (target == null) result.Poison = !exists;
            else result.NewValue = exists ? 1 : EnumValue(target);
            return null;
        }
        return Fields(local, target, ref result);
    }

    private static ulong TypeValue(CoreSpec spec) => spec.Kind switch
    {
        CoreRelocationKind.TypeIdTarget => spec.RootTypeId,
        CoreRelocationKind.TypeSize => (ulong)Math.Max(0, spec.Btf.SizeOf(spec.RootTypeId)),
        _ => 1,
    };

    private static ulong EnumValue(CoreSpec spec)
    {
        BtfType type = spec.Btf[spec.Accessors[0].TypeId];
        long value = type.Enumerators[spec.Accessors[0].Index].Value;
        return type.Kind == BtfKind.Enum ? (ulong)(int)value : (ulong)value;
    }

    private static string? Fields(CoreSpec local, CoreSpec? target, ref CoreResult result)
    {
        if (local.Kind == CoreRelocationKind.FieldExists)
        {
            result.OldValue = 1;
            result.NewValue = target == null ? 0u : 1u;
            return null;
        }
        string? error = FieldValue(local, out result.OldValue, out result.OldSize, out BtfType oldType, out result.Validate);
        if (error != null) return error;
        if (target == null)
        {
            result.Poison = true;
            return null;
        }
        error = FieldValue(target, out result.NewValue, out result.NewSize, out BtfType newType, out _);
        if (error != null || result.OldSize == result.NewSize) return error;
        bool pointers = oldType.Kind == BtfKind.Ptr && newType.Kind == BtfKind.Ptr;
        bool unsigned = oldType.Kind == BtfKind.Int && newType.Kind == BtfKind.Int
            && oldType.IntEncoding != BtfIntEncoding.Signed && newType.IntEncoding != BtfIntEncoding.Signed;
        result.CannotResize = !pointers && !unsigned;
        return null;
    }

    private static string? FieldValue(CoreSpec spec, out ulong value, out uint accessSize, out BtfType accessType, out bool validate)
    {
        CoreAccessor last = spec.Accessors[^1];
        (value, accessSize, accessType, validate) = (0, 0, default, true);
        BtfType owner = spec.Btf[last.TypeId];
        if (last.Name == null)
        {
            long size = spec.Btf.SizeOf(owner.Id);
            if (size < 0) return $"type [{owner.Id}] has no size";
            if (spec.Kind == CoreRelocationKind.FieldByteOffset)
            {
                value = spec.BitOffset / 8;
                (accessSize, accessType) = Element(spec.Btf, owner.Id);
                return null;
            }
            value = (ulong)size;
            return spec.Kind == CoreRelocationKind.FieldByteSize ? null : $"relo {(uint)spec.Kind} can't be applied to array access";
        }
        BtfMember member = owner.Members[last.Index];
        BtfType type = spec.Btf.Resolve(member.TypeId);
        ulong bitOffset = spec.BitOffset, byteSize, byteOffset;
        ulong bitSize = member.BitfieldSize;
        if (bitSize > 0)
        {
            // The narrowest aligned load that covers the bitfield.
            byteSize = Math.Max(1, type.Size);
            byteOffset = bitOffset / 8 / byteSize * byteSize;
            while (bitOffset + bitSize - byteOffset * 8 > byteSize * 8)
            {
                if (byteSize >= 8) return $"relo {(uint)spec.Kind} can't be satisfied for bitfield";
                byteSize *= 2;
                byteOffset = bitOffset / 8 / byteSize * byteSize;
            }
        }
        else
        {
            long size = spec.Btf.SizeOf(type.Id);
            if (size < 0) return $"type [{type.Id}] has no size";
            byteSize = (ulong)size;
            byteOffset = bitOffset / 8;
            bitSize = byteSize * 8;
        }
        // Where a bitfield is loaded from is the compiler's choice, which may differ from this one.
        validate = member.BitfieldSize == 0;
        switch (spec.Kind)
        {
            case CoreRelocationKind.FieldByteOffset:
                value = byteOffset;
                if (member.BitfieldSize == 0) (accessSize, accessType) = Element(spec.Btf, type.Id);
                return null;
            case CoreRelocationKind.FieldByteSize:
                value = byteSize;
                return null;
            case CoreRelocationKind.FieldSigned:
                value = type.IsSignedEnum || (type.IntEncoding & BtfIntEncoding.Signed) != 0 ? 1u : 0u;
                validate = true;
                return null;
            case CoreRelocationKind.FieldLshiftU64:
                value = 64 - (bitOffset + bitSize - byteOffset * 8);
                return null;
            case CoreRelocationKind.FieldRshiftU64:
                value = 64 - bitSize;
                validate = true;
                return null;
            default:
                return $"unrecognized CO-RE relocation {(uint)spec.Kind}";
        }
    }

    /// <summary>What one load takes from a field: of an array one element.</summary>
    private static (uint Size, BtfType Type) Element(BtfData btf, uint id)
    {
        BtfType type = btf.Resolve(id);
        for (int depth = 0; type.Kind == BtfKind.Array && depth < 32; depth++) type = btf.Resolve(type.ArrayElementTypeId);
        return ((uint)Math.Max(0, btf.SizeOf(type.Id)), type);
    }
}
