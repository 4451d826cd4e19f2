using System.Text;
using BpfSim.Kernel.Attach;
using BpfSim.Maps;

namespace BpfSim.Kernel.Bpf;

/// <summary>Fills bpf_link_info, whose second half depends on the kind of link.</summary>
internal static class LinkInfo
{
    /// <summary>Fills the structure, whose pointers and counts came from user space.</summary>
    public static void Fill(BpfLink link, InfoBuffer info, uint kernelBtfId)
    {
        info.Put(0, (uint)link.Type);
        info.Put(4, link.Id);
        info.Put(8, link.Program.Id);
        switch (link.Type)
        {
            case BpfLinkType.RawTracepoint:
                info.Text(16, 24, link.Target, countNul: true);
                info.Put64(32, Cookie(link));
                break;
            case BpfLinkType.Tracing:
                info.Put(16, (uint)link.AttachType);
                info.Put(20, kernelBtfId);
                info.Put(24, link.TargetBtfId);
                info.Put64(32, Cookie(link));
                break;
            case BpfLinkType.Iter:
                info.Text(16, 24, link.Target, countNul: true);
                if (link.IterMap != null) info.Put(28, link.IterMap.Id);
                break;
            case BpfLinkType.KprobeMulti:
                KprobeMulti(link, info);
                break;
            case BpfLinkType.UprobeMulti:
                UprobeMulti(link, info);
                break;
            case BpfLinkType.PerfEvent:
                PerfEvent(link, info);
                break;
        }
    }

    private static ulong Cookie(BpfLink link) => link.Attachments.Count == 0 ? 0 : link.Attachments[0].Cookie;

    /// <summary>One attachment a place: sessions hang on entry and return, and count once.</summary>
    private static Attachment[] Places(BpfLink link) => [.. link.Attachments.DistinctBy(a => a.Site.Name)];

    private static bool OnReturn(BpfLink link) => link.Attachments.Count > 0 && !link.Attachments[0].IsSession
        && link.Attachments[0].Kind is HookKind.Kretprobe or HookKind.Uretprobe;

    private static void KprobeMulti(BpfLink link, InfoBuffer info)
    {
        Attachment[] places = Places(link);
        uint room = info.U32(24);
        ulong addresses = info.U64(16), cookies = info.U64(40);
        if ((addresses == 0) != (room == 0) || (cookies != 0 && room == 0)) info.Fail(Errno.EINVAL);
        info.Put(24, (uint)places.Length);
        info.Put(28, OnReturn(link) ? 1u : 0);
        info.Put64(32, (ulong)link.Attachments.Sum(a => (long)a.RecursionMisses));
        if (info.Error != 0 || room == 0) return;
        if (room < places.Length) info.Fail(Errno.ENOSPC);
        int count = (int)Math.Min(room, (uint)places.Length);
        Words(info, addresses, places.Take(count).Select(p => KernelSymbols.AddressOf(p.Site.Name)));
        if (cookies != 0) Words(info, cookies, places.Take(count).Select(p => p.Cookie));
    }

    private static void UprobeMulti(BpfLink link, InfoBuffer info)
    {
        Attachment[] places = Places(link);
        uint room = info.U32(52);
        ulong offsets = info.U64(24), references = info.U64(32), cookies = info.U64(40);
        if ((offsets != 0 || references != 0 || cookies != 0) && room == 0) info.Fail(Errno.EINVAL);
        info.Put(52, (uint)places.Length);
        info.Put(56, OnReturn(link) ? 1u : 0);
        info.Put(60, places.Length == 0 ? 0 : places[0].PidFilter);
        if (info.Error != 0) return;
        info.Text(16, 48, link.Target, countNul: true);
        if (room < places.Length && room != 0) info.Fail(Errno.ENOSPC);
        int count = (int)Math.Min(room, (uint)places.Length);
        if (offsets != 0) Words(info, offsets, places.Take(count).Select(p => Convert.ToUInt64(p.Site.Name[(p.Site.Name.LastIndexOf(':') + 3)..], 16)));
        if (references != 0) Words(info, references, Enumerable.Repeat(0ul, count));
        if (cookies != 0) Words(info, cookies, places.Take(count).Select(p => p.Cookie));
    }

    private static void PerfEvent(BpfLink link, InfoBuffer info)
    {
        const uint uprobe = 1, uretprobe = 2, kprobe = 3, kretprobe = 4, tracepoint = 5, other = 6;
        PerfEventAttr what = link.PerfEvent!.Attr;
        switch (what.Type)
        {
            case PerfEventType.Uprobe:
                info.Put(16, what.IsReturn ? uretprobe : uprobe);
                info.Text(24, 32, what.Target, countNul: true);
                info.Put(36, (uint)what.Offset);
                info.Put64(40, Cookie(link));
                break;
            case PerfEventType.Kprobe:
                info.Put(16, what.IsReturn ? kretprobe : kprobe);
                info.Text(24, 32, what.Target, countNul: true);
                info.Put(36, (uint)what.Offset);
                info.Put64(40, KernelSymbols.AddressOf(what.Target) + what.Offset);
                info.Put64(48, (ulong)link.Attachments.Sum(a => (long)a.RecursionMisses));
                info.Put64(56, Cookie(link));
                break;
            case PerfEventType.Tracepoint:
                info.Put(16, tracepoint);
                info.Text(24, 32, what.Target[(what.Target.IndexOf(':') + 1)..], countNul: true);
                info.Put64(40, Cookie(link));
                break;
            default:
                info.Put(16, other);
                info.Put64(24, what.Config);
                info.Put(32, (uint)what.Type);
                info.Put64(40, Cookie(link));
                break;
        }
    }

    private static void Words(InfoBuffer info, ulong address, IEnumerable<ulong> words)
    {
        ulong[] all = [.. words];
        info.CopyOut(address, System.Runtime.InteropServices.MemoryMarshal.AsBytes<ulong>(all));
    }
}
