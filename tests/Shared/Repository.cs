namespace BpfSim.Tests.Shared;

/// <summary>Where the checkout lies that the tests were built from.</summary>
internal static class Repository
{
    /// <summary>The folder of BpfSim.sln.</summary>
    public static string Root { get; } = Find(AppContext.BaseDirectory);

    /// <summary>A file or folder of the checkout.</summary>
    public static string PathOf(params string[] parts) => Path.Combine([Root, .. parts]);

    private static string Find(string folder)
    {
        for (DirectoryInfo? at = new(folder); at != null; at = at.Parent)
            if (File.Exists(Path.Combine(at.FullName, "BpfSim.sln"))) return at.FullName;
        throw new DirectoryNotFoundException($"no BpfSim.sln above {folder}");
    }
}
