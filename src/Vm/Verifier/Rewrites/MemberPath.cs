using BpfSim.Vm.Btf;

namespace BpfSim.Vm.Verifier.Rewrites;

/// <summary>Where a member lies in a structure of the kernel.</summary>
/// <param name="Offset">Bytes from the start of the structure.</param>
/// <param name="Size">Bytes of the member.</param>
internal readonly record struct MemberPath(int Offset, int Size)
{
    /// <summary>Follows a path of member names (<c>lru_node.ref</c>) from a structure; null if the kernel has no such member.</summary>
    public static MemberPath? Find(BtfData? btf, string structure, string path)
    {
        if (btf?.FindComposite(structure) is not { } type) return null;
        int offset = 0, size = 0;
        foreach (string name in path.Split('.'))
        {
            if (!type.IsComposite || type.FindMember(name) is not { } member) return null;
            offset += (int)member.ByteOffset;
            size = (int)btf.SizeOf(member.TypeId);
            type = btf.Resolve(member.TypeId);
        }

        return new MemberPath(offset, size);
    }
}
