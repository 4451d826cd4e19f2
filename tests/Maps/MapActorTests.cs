using Akka.Actor;
using Akka.TestKit;
using Akka.TestKit.Xunit2;

namespace BpfSim.Maps.Tests;

public class MapActorTests() : TestKit("""
    akka.scheduler.implementation = "Akka.TestKit.TestScheduler, Akka.TestKit"
    akka.loglevel = ERROR
    """)
{
    private static readonly byte[] Key1 = [1, 0, 0, 0];
    private static readonly byte[] Key2 = [2, 0, 0, 0];

    private static BpfMap Create(string text = "1 4 8 16 0") => MapFactory.Create(TestData.ParseSpec(text), 2).Map!;

    [Fact]
    public void CommandsAreAnsweredWithErrnoAndValue()
    {
        using var map = Create();
        var actor = Sys.ActorOf(MapActor.Props(map));
        Assert.Equal(new MapReply(-(int)Errno.ENOENT), Ask(actor, new LookupElem(Key1)));
        Assert.Equal(0, Ask(actor, new UpdateElem(Key1, new byte[8], UpdateFlags.NoExist)).Errno);
        Assert.Equal(-(int)Errno.EEXIST, Ask(actor, new UpdateElem(Key1, new byte[8], UpdateFlags.NoExist)).Errno);
        Assert.Equal(-(int)Errno.EINVAL, Ask(actor, new UpdateElem([1], [2])).Errno);
        Assert.Equal(new byte[8], Ask(actor, new LookupElem(Key1)).Value);
        Assert.Equal(Key1, Ask(actor, new GetNextKey(null)).Value);
        Assert.Equal(new byte[8], Ask(actor, new LookupAndDeleteElem(Key1)).Value);
        Assert.Equal(-(int)Errno.ENOENT, Ask(actor, new DeleteElem(Key1)).Errno);
        Assert.Equal(0, Ask(actor, new FreezeMap()).Errno);
        Assert.Equal(-(int)Errno.EPERM, Ask(actor, new UpdateElem(Key1, new byte[8])).Errno);
        actor.Tell(new GetStatistics(), TestActor);
        var status = ExpectMsg<MapStatus>();
        Assert.Equal((0u, true, 1L, 1L, 1L), (status.Entries, status.Frozen, status.Counters.Updates, status.Counters.FailedUpdates, status.Counters.Deletes));
    }

    [Fact]
    public void BatchesAndSnapshotsGoThroughTheActor()
    {
        using var map = Create();
        var actor = Sys.ActorOf(MapActor.Props(map));
        actor.Tell(new UpdateBatch([.. Key1, .. Key2], new byte[16], 2), TestActor);
        Assert.Equal(2u, ExpectMsg<BatchReply>().Count);
        actor.Tell(new LookupBatch(null, 1000, Delete: true), TestActor);
        var reply = ExpectMsg<BatchReply>();
        Assert.Equal((-(int)Errno.ENOENT, 2u, 8, 16), (reply.Errno, reply.Count, reply.Keys!.Length, reply.Values!.Length));
        actor.Tell(new GetSnapshot(), TestActor);
        Assert.Equal(0, ExpectMsg<MapSnapshot>().Count);
    }

    [Fact]
    public void AWatcherGetsChangesOnceAndOneAtATime()
    {
        using var map = Create();
        map.Update(Key1, [1, 0, 0, 0, 0, 0, 0, 0]);
        var actor = Sys.ActorOf(MapActor.Props(map));
        actor.Tell(new WatchMap(TimeSpan.FromSeconds(1)), TestActor);
        Assert.Equal(0, ExpectMsg<MapReply>().Errno);
        var first = ExpectMsg<MapDelta>();
        Assert.Equal((1L, 1, 0), (first.Sequence, first.Changed.Count, first.Removed.Count));

        // Not acknowledged: nothing more comes, changes are merged.
        map.Update(Key2, new byte[8]);
        Tick();
        map.Update(Key1, [2, 0, 0, 0, 0, 0, 0, 0]);
        Tick();
        ExpectNoMsg(TimeSpan.FromMilliseconds(50));
        actor.Tell(new DeltaReceived(1), TestActor);
        Tick();
        var second = ExpectMsg<MapDelta>();
        Assert.Equal((2L, 2, 0), (second.Sequence, second.Changed.Count, second.Removed.Count));
        actor.Tell(new DeltaReceived(2), TestActor);
        Tick();
        ExpectNoMsg(TimeSpan.FromMilliseconds(50));
        map.Delete(Key2);
        Tick();
        Assert.Equal([Key2], ExpectMsg<MapDelta>().Removed);
        actor.Tell(new DeltaReceived(3), TestActor);
        actor.Tell(new UnwatchMap(), TestActor);
        map.Delete(Key1);
        Tick();
        ExpectNoMsg(TimeSpan.FromMilliseconds(50));

        void Tick()
        {
            ((TestScheduler)Sys.Scheduler).Advance(TimeSpan.FromSeconds(1));
            // A round trip: the tick stands before this question in the mailbox.
            var probe = CreateTestProbe();
            actor.Tell(new GetStatistics(), probe.Ref);
            probe.ExpectMsg<MapStatus>();
        }
    }

    [Fact]
    public void DeadWatchersAndAskersLeaveNothingBehind()
    {
        using var map = Create();
        var actor = Sys.ActorOf(MapActor.Props(map));
        var dead = CreateTestProbe();
        actor.Tell(new WatchMap(TimeSpan.FromSeconds(1)), dead.Ref);
        dead.ExpectMsg<MapReply>();
        dead.ExpectMsg<MapDelta>();
        for (var i = 0; i < 1000; i++) actor.Tell(new GetSnapshot(), dead.Ref);
        Sys.Stop(dead.Ref);
        ((TestScheduler)Sys.Scheduler).Advance(TimeSpan.FromSeconds(10));
        Assert.Equal(0, Ask(actor, new UpdateElem(Key1, new byte[8])).Errno);
    }

    [Fact]
    public void ACrashLosesNoContent()
    {
        using var map = Create();
        var actor = Sys.ActorOf(MapActor.Props(map));
        Assert.Equal(0, Ask(actor, new UpdateElem(Key1, new byte[8])).Errno);
        actor.Tell(Kill.Instance);
        actor = Sys.ActorOf(MapActor.Props(map));
        Assert.Equal(0, Ask(actor, new LookupElem(Key1)).Errno);
        Assert.Equal(-(int)Errno.EINVAL, AskAnything(actor, new LookupElem(null!)).Errno);
    }

    private MapReply Ask(IActorRef actor, MapMessage message) => AskAnything(actor, message);

    private MapReply AskAnything(IActorRef actor, object message)
    {
        var probe = CreateTestProbe();
        actor.Tell(message, probe.Ref);
        return probe.ExpectMsg<MapReply>(TimeSpan.FromSeconds(10));
    }
}
