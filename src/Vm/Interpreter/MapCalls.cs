using System.Runtime.CompilerServices;
using BpfSim.Maps;
using BpfSim.Vm.Helpers;

namespace BpfSim.Vm.Interpreter;

/// <summary>A map helper that the interpreter calls as C#, with the arguments that lie in the frame.</summary>
internal unsafe interface IMapCall
{
    /// <summary>The result in r0.</summary>
    static abstract ulong Run(BpfMap map, Frame* f);
}

/// <summary>The map helpers that tracing programs call at each event.</summary>
internal static unsafe class MapCalls
{
    /// <summary>The type that does a helper's work; null if it has none here.</summary>
    public static Type? Find(int helper) => helper switch
    {
        HelperId.MapLookupElem => typeof(Lookup),
        HelperId.MapUpdateElem => typeof(Update),
        HelperId.MapDeleteElem => typeof(Delete),
        _ => null,
    };

    public struct Lookup : IMapCall
    {
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public static ulong Run(BpfMap map, Frame* f) => (ulong)map.ProgramLookup((byte*)f->Registers[2], f->Run->Context->CpuId);
    }

    public struct Update : IMapCall
    {
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public static ulong Run(BpfMap map, Frame* f) =>
            (ulong)(long)map.ProgramUpdate((byte*)f->Registers[2], (byte*)f->Registers[3], f->Registers[4], f->Run->Context->CpuId);
    }

    public struct Delete : IMapCall
    {
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public static ulong Run(BpfMap map, Frame* f) => (ulong)(long)map.ProgramDelete((byte*)f->Registers[2], f->Run->Context->CpuId);
    }
}
