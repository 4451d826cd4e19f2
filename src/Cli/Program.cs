return await BpfSim.Cli.CommandLine.RunAsync(args);
