namespace BpfSim.Vm.Object;

/// <summary>An object file that cannot be read; the message names the section and offset, or the thing that is wrong.</summary>
public sealed class ObjectException : FormatException
{
    /// <summary>An error with a line for the user.</summary>
    public ObjectException(string message) : base(message)
    {
    }
}
