namespace BpfSim.Vm.Btf;

/// <summary>Type information that cannot be read; the message names the section and the offset of what is wrong.</summary>
public sealed class BtfException : FormatException
{
    /// <summary>An error with a line for the user.</summary>
    public BtfException(string message) : base(message)
    {
    }
}
