using System.Runtime.InteropServices;
using BpfSim.Vm.Programs;

namespace BpfSim.Kernel.Bpf.HelperImplementations;

/// <summary>Kernel functions on objects that programs allocate, and on the lists and trees of them.</summary>
internal static unsafe class ObjectCode
{
    public static void Register(KfuncList list)
    {
        list.Add("bpf_obj_new_impl", &New);
        list.Add("bpf_obj_drop_impl", &Drop);
        list.Add("bpf_refcount_acquire_impl", &RefcountAcquire);
        list.Add("bpf_list_push_front_impl", &PushFront);
        list.Add("bpf_list_push_back_impl", &PushBack);
        list.Add("bpf_list_pop_front", &PopFront);
        list.Add("bpf_list_pop_back", &PopBack);
        list.Add("bpf_list_front", &Front);
        list.Add("bpf_list_back", &Back);
        list.Add("bpf_rbtree_add_impl", &TreeAdd);
        list.Add("bpf_rbtree_remove", &TreeRemove);
        list.Add("bpf_rbtree_first", &TreeFirst);
        list.Add("bpf_rbtree_root", &TreeRoot);
        list.Add("bpf_rbtree_left", &TreeLeft);
        list.Add("bpf_rbtree_right", &TreeRight);
    }

    /// <summary>The argument is the id of a struct in the program's BTF.</summary>
    [UnmanagedCallersOnly]
    private static ulong New(ulong typeId, ulong meta, ulong r3, ulong r4, ulong r5, RunContext* context) =>
        ObjectType.Find(LoadedProgram.Running(context)?.Program.Btf, (uint)typeId) is { } type ? (ulong)ProgramObject.Create(type) : 0;

    [UnmanagedCallersOnly]
    private static ulong Drop(ulong value, ulong meta, ulong r3, ulong r4, ulong r5, RunContext* context)
    {
        ProgramObject.Drop((byte*)value);
        return 0;
    }

    [UnmanagedCallersOnly]
    private static ulong RefcountAcquire(ulong value, ulong meta, ulong r3, ulong r4, ulong r5, RunContext* context) =>
        ProgramObject.Acquire((byte*)value) ? value : 0;

    [UnmanagedCallersOnly]
    private static ulong PushFront(ulong head, ulong node, ulong meta, ulong offset, ulong r5, RunContext* context) =>
        Linked(ObjectList.Push((ulong*)head, (ulong*)node, front: true), ((ulong*)node)[2]);

    [UnmanagedCallersOnly]
    private static ulong PushBack(ulong head, ulong node, ulong meta, ulong offset, ulong r5, RunContext* context) =>
        Linked(ObjectList.Push((ulong*)head, (ulong*)node, front: false), ((ulong*)node)[2]);

    [UnmanagedCallersOnly]
    private static ulong PopFront(ulong head, ulong r2, ulong r3, ulong r4, ulong r5, RunContext* context) => (ulong)ObjectList.Pop((ulong*)head, front: true);

    [UnmanagedCallersOnly]
    private static ulong PopBack(ulong head, ulong r2, ulong r3, ulong r4, ulong r5, RunContext* context) => (ulong)ObjectList.Pop((ulong*)head, front: false);

    [UnmanagedCallersOnly]
    private static ulong Front(ulong head, ulong r2, ulong r3, ulong r4, ulong r5, RunContext* context) => (ulong)ObjectList.Peek((ulong*)head, front: true);

    [UnmanagedCallersOnly]
    private static ulong Back(ulong head, ulong r2, ulong r3, ulong r4, ulong r5, RunContext* context) => (ulong)ObjectList.Peek((ulong*)head, front: false);

    /// <summary>The third argument is the program's function that says which of two nodes is less.</summary>
    [UnmanagedCallersOnly]
    private static ulong TreeAdd(ulong root, ulong node, ulong less, ulong meta, ulong offset, RunContext* context)
    {
        LoadedProgram program = LoadedProgram.Running(context)!;
        return Linked(ObjectTree.Add((ulong*)root, (ulong*)node, (a, b) => (byte)program.InvokeCallback((int)less, a, b, 0, 0, 0, context) != 0), ((ulong*)node)[3]);
    }

    [UnmanagedCallersOnly]
    private static ulong TreeRemove(ulong root, ulong node, ulong r3, ulong r4, ulong r5, RunContext* context) =>
        ObjectTree.Remove((ulong*)root, (ulong*)node) ? node : 0;

    [UnmanagedCallersOnly]
    private static ulong TreeFirst(ulong root, ulong r2, ulong r3, ulong r4, ulong r5, RunContext* context) => (ulong)ObjectTree.First((ulong*)root);

    [UnmanagedCallersOnly]
    private static ulong TreeRoot(ulong root, ulong r2, ulong r3, ulong r4, ulong r5, RunContext* context) => (ulong)ObjectTree.Top((ulong*)root);

    [UnmanagedCallersOnly]
    private static ulong TreeLeft(ulong root, ulong node, ulong r3, ulong r4, ulong r5, RunContext* context) => (ulong)ObjectTree.Child((ulong*)root, (ulong*)node, left: true);

    [UnmanagedCallersOnly]
    private static ulong TreeRight(ulong root, ulong node, ulong r3, ulong r4, ulong r5, RunContext* context) => (ulong)ObjectTree.Child((ulong*)root, (ulong*)node, left: false);

    /// <summary>A node that could not be linked (it is already) costs the caller's reference to its object; its owner word says which that is.</summary>
    private static ulong Linked(bool linked, ulong owner)
    {
        if (linked) return 0;
        ProgramObject.Drop((byte*)(owner & ~1ul));
        return unchecked((uint)-(int)Maps.Errno.EINVAL);
    }
}
