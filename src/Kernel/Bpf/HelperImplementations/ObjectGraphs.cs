namespace BpfSim.Kernel.Bpf.HelperImplementations;

/// <summary>
/// bpf_list_head and bpf_list_node: a ring through the head. Words of a node: next, previous, owner (see
/// <see cref="ProgramObject"/>). The program holds the lock that guards the list.
/// </summary>
internal static unsafe class ObjectList
{
    private const int Next = 0, Previous = 1, Owner = 2;

    /// <summary>Adds a node at one end; false if it is linked somewhere already.</summary>
    public static bool Push(ulong* head, ulong* node, bool front)
    {
        if (!ProgramObject.TryLink(node + Owner)) return false;
        Initialise(head);
        ulong* before = front ? head : (ulong*)head[Previous], after = (ulong*)before[Next];
        node[Next] = (ulong)after;
        node[Previous] = (ulong)before;
        before[Next] = after[Previous] = (ulong)node;
        return true;
    }

    /// <summary>The node at one end; null if there is none.</summary>
    public static ulong* Peek(ulong* head, bool front)
    {
        var node = (ulong*)head[front ? Next : Previous];
        return node == head ? null : node;
    }

    /// <summary>Takes the node at one end out; null if there is none.</summary>
    public static ulong* Pop(ulong* head, bool front)
    {
        ulong* node = Peek(head, front);
        if (node == null) return null;
        ulong* before = (ulong*)node[Previous], after = (ulong*)node[Next];
        before[Next] = (ulong)after;
        after[Previous] = (ulong)before;
        node[Next] = node[Previous] = 0;
        node[Owner] &= ~1ul;
        return node;
    }

    /// <summary>A head in a fresh map value is all zeros.</summary>
    private static void Initialise(ulong* head)
    {
        if (head[Next] == 0) head[Next] = head[Previous] = (ulong)head;
    }
}

/// <summary>
/// bpf_rb_root and bpf_rb_node: a red-black tree after the textbook, so that bpf_rbtree_root, _left and _right show the same shape
/// as the kernel's. Words of a node: parent (bit 0 set in red nodes), left, right, owner (see <see cref="ProgramObject"/>); of a root: the
/// top node. The program holds the lock that guards the tree.
/// </summary>
internal static unsafe class ObjectTree
{
    private const int ParentWord = 0, Left = 1, Right = 2, Owner = 3;

    /// <summary>Whether the new node belongs left of another one.</summary>
    public delegate bool Less(ulong node, ulong other);

    /// <summary>Adds a node behind all that it is not less than; false if it is linked somewhere already.</summary>
    public static bool Add(ulong* root, ulong* node, Less less)
    {
        if (!ProgramObject.TryLink(node + Owner)) return false;
        ulong* parent = null;
        int side = Left;
        for (var at = (ulong*)root[0]; at != null; at = (ulong*)at[side])
        {
            parent = at;
            side = less((ulong)node, (ulong)at) ? Left : Right;
        }
        node[Left] = node[Right] = 0;
        node[ParentWord] = (ulong)parent | 1;
        if (parent == null) root[0] = (ulong)node;
        else parent[side] = (ulong)node;
        BalanceAfterAdding(root, node);
        return true;
    }

    /// <summary>Takes a node out; false if it is not in this tree.</summary>
    public static bool Remove(ulong* root, ulong* node)
    {
        if (!Contains(root, node)) return false;
        ulong* child, parent;
        bool black;
        if (node[Left] == 0 || node[Right] == 0)
        {
            child = (ulong*)(node[Left] != 0 ? node[Left] : node[Right]);
            parent = Parent(node);
            black = !IsRed(node);
            Replace(root, parent, node, child);
            if (child != null) SetParent(child, parent);
        }
        else
        {
            // The next node takes its place.
            ulong* next = Leftmost((ulong*)node[Right]);
            child = (ulong*)next[Right];
            black = !IsRed(next);
            parent = Parent(next);
            if (parent == node)
            {
                parent = next;
            }
            else
            {
                parent[Left] = (ulong)child;
                if (child != null) SetParent(child, parent);
                next[Right] = node[Right];
                SetParent((ulong*)node[Right], next);
            }
            next[Left] = node[Left];
            SetParent((ulong*)node[Left], next);
            Replace(root, Parent(node), node, next);
            next[ParentWord] = node[ParentWord];
        }
        if (black) BalanceAfterRemoving(root, child, parent);
        node[ParentWord] = node[Left] = node[Right] = 0;
        node[Owner] &= ~1ul;
        return true;
    }

    /// <summary>The least node; null if there is none.</summary>
    public static ulong* First(ulong* root) => root[0] == 0 ? null : Leftmost((ulong*)root[0]);

    /// <summary>The top node; null if there is none.</summary>
    public static ulong* Top(ulong* root) => (ulong*)root[0];

    /// <summary>The left or right child of a node of this tree; null if there is none, or the node is in another tree.</summary>
    public static ulong* Child(ulong* root, ulong* node, bool left) => Contains(root, node) ? (ulong*)node[left ? Left : Right] : null;

    private static bool Contains(ulong* root, ulong* node)
    {
        if ((node[Owner] & 1) == 0) return false;
        while (Parent(node) != null) node = Parent(node);
        return (ulong*)root[0] == node;
    }

    private static ulong* Leftmost(ulong* node)
    {
        while (node[Left] != 0) node = (ulong*)node[Left];
        return node;
    }

    private static ulong* Parent(ulong* node) => (ulong*)(node[ParentWord] & ~1ul);

    private static bool IsRed(ulong* node) => node != null && (node[ParentWord] & 1) != 0;

    private static void SetParent(ulong* node, ulong* parent) => node[ParentWord] = (ulong)parent | (node[ParentWord] & 1);

    private static void Paint(ulong* node, bool red) => node[ParentWord] = (node[ParentWord] & ~1ul) | (red ? 1ul : 0);

    private static void Replace(ulong* root, ulong* parent, ulong* old, ulong* child)
    {
        if (parent == null) root[0] = (ulong)child;
        else parent[(ulong*)parent[Left] == old ? Left : Right] = (ulong)child;
    }

    /// <summary>The child on the other side moves up, the node down to this side.</summary>
    private static void Rotate(ulong* root, ulong* node, int side)
    {
        int other = Left + Right - side;
        var up = (ulong*)node[other];
        node[other] = up[side];
        if (up[side] != 0) SetParent((ulong*)up[side], node);
        SetParent(up, Parent(node));
        Replace(root, Parent(node), node, up);
        up[side] = (ulong)node;
        SetParent(node, up);
    }

    private static void BalanceAfterAdding(ulong* root, ulong* node)
    {
        while (IsRed(Parent(node)))
        {
            ulong* parent = Parent(node), grandparent = Parent(parent);
            int side = (ulong*)grandparent[Left] == parent ? Left : Right, other = Left + Right - side;
            var uncle = (ulong*)grandparent[other];
            if (IsRed(uncle))
            {
                Paint(parent, false);
                Paint(uncle, false);
                Paint(grandparent, true);
                node = grandparent;
                continue;
            }
            if ((ulong*)parent[other] == node)
            {
                Rotate(root, parent, side);
                parent = node;
            }
            Paint(parent, false);
            Paint(grandparent, true);
            Rotate(root, grandparent, other);
            break;
        }
        Paint((ulong*)root[0], false);
    }

    /// <summary>Paths through <paramref name="node"/> (perhaps null) under <paramref name="parent"/> have one black node too few.</summary>
    private static void BalanceAfterRemoving(ulong* root, ulong* node, ulong* parent)
    {
        while (parent != null && !IsRed(node))
        {
            int side = (ulong*)parent[Left] == node ? Left : Right, other = Left + Right - side;
            var sibling = (ulong*)parent[other];
            if (IsRed(sibling))
            {
                Paint(sibling, false);
                Paint(parent, true);
                Rotate(root, parent, side);
                sibling = (ulong*)parent[other];
            }
            if (!IsRed((ulong*)sibling[Left]) && !IsRed((ulong*)sibling[Right]))
            {
                Paint(sibling, true);
                node = parent;
                parent = Parent(node);
                continue;
            }
            if (!IsRed((ulong*)sibling[other]))
            {
                Paint((ulong*)sibling[side], false);
                Paint(sibling, true);
                Rotate(root, sibling, other);
                sibling = (ulong*)parent[other];
            }
            Paint(sibling, IsRed(parent));
            Paint(parent, false);
            Paint((ulong*)sibling[other], false);
            Rotate(root, parent, side);
            break;
        }
        if (node != null) Paint(node, false);
    }
}
