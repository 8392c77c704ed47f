"""`sampand`: the composition root. Reads the options, launches the spawner, then puts the rooms together.

The spawner is forked before anything heavy is imported, so that what it forks is small and warm; imports of most
rooms are therefore inside functions. What a step does is its room's affair.
"""

from __future__ import annotations

import gc
import os
import signal
import sys
from typing import TYPE_CHECKING, Any

from sampan.engine import options
from sampan.linux import seal
from sampan.monitor import spawner
from sampan.monitor.main import run as monitor_role
from sampan.monitor.program import run as program_role
from sampan.monitor.user_namespace import run as user_namespace_role
from sampan.network.warden.server import run as warden_role
from sampan.store.worker import ROLES

if TYPE_CHECKING:
    from sampan.distribution.distribution import Distribution
    from sampan.engine.config import DaemonConfig
    from sampan.engine.services import Services
    from sampan.network.networks import Networks

FAILED = 1
BAD_USAGE = 125
OOM_SCORE = -500
GARBAGE_THRESHOLD = 20_000  # new containers (Python's) between two looks


def main() -> int:
    """The command `sampand`; the exit status."""
    _isolate()
    try:
        arguments = options.parse(sys.argv[1:])
    except options.UsageError as error:
        return _fail(f"{error}\nSee 'sampand --help'.", BAD_USAGE)
    if arguments.help:
        sys.stdout.write(options.usage())
        return 0
    if arguments.version:
        from sampan.spec.version import VERSION

        sys.stdout.write(f"sampand version {VERSION}\n")
        return 0
    if os.geteuid() != 0:
        return _fail("sampand needs to be started with root privileges", FAILED)
    # Whoever starts us may have signals blocked; we and the spawner would never be told to end.
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    process = spawner.launch(_roles())
    return _start(arguments, process)


def _isolate() -> None:
    """Nothing of the caller's environment or folder may decide what is imported, and no container may write to
    the interpreter that its processes are forked from: run again, with `-I`, sealed."""
    if not (sys.flags.isolated and seal.is_sealed()):
        seal.run_sealed([*_program("main"), *sys.argv[1:]], os.environ)
    seal.set_name("sampand")


def _program(function: str) -> list[str]:
    """The command that runs a function of this module, isolated; its exit status is the function's result."""
    root = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    code = (
        f"import sys; sys.path.append({root!r}); sys.argv[0] = 'sampand'; "
        f"from sampan import daemon; sys.exit(daemon.{function}())"
    )
    return [sys.executable, "-I", "-c", code]


def spawn_anew() -> int:
    """Of the program that `spawner.launch_anew` starts: serve at the descriptor that it was given."""
    spawner.take_over(int(sys.argv[1]), _roles())


def _roles() -> dict[str, spawner.Role]:
    return {
        "monitor": monitor_role,
        "program": program_role,
        "user-namespace": user_namespace_role,
        "warden": warden_role,
        **ROLES,
    }


def _fail(text: str, status: int) -> int:
    sys.stderr.write(f"{text}\n")
    return status


def _start(arguments: options.Arguments, process: spawner.SpawnerProcess) -> int:
    import asyncio

    from sampan.engine import instance, journal
    from sampan.engine.config import ConfigError, gather
    from sampan.engine.paths import Paths
    from sampan.errors import SampanError

    try:
        config, _ = gather(arguments.directives, arguments.config_file)
        journal.set_up(config.log_level, debug=config.debug)
        instance.set_name()
        paths = Paths(os.path.abspath(config.data_root), os.path.abspath(config.exec_root))
        paths.make_roots()
        held = instance.lock(paths.data_root)
        instance.write_pidfile(config.pidfile)
        try:
            with asyncio.Runner() as runner:
                return runner.run(_run(arguments, config, paths, process))
        finally:
            instance.remove_pidfile(config.pidfile)
            os.close(held)
    except (ConfigError, SampanError, OSError) as error:
        return _fail(f"failed to start daemon: {error}", FAILED)


async def _run(
    arguments: options.Arguments, config: DaemonConfig, paths: Any, process: spawner.SpawnerProcess
) -> int:
    from sampan.api.server import Listener, make_app
    from sampan.distribution.distribution import Distribution
    from sampan.engine import instance, listen, reconcile
    from sampan.engine.journal import phase
    from sampan.engine.network_config import network_config
    from sampan.engine.registries import options_of
    from sampan.monitor.client import Spawner
    from sampan.network.networks import Networks
    from sampan.spec.version import VERSION
    from sampan.store.store import open_store

    stop = _catch_signals(arguments)
    sockets = listen.open_sockets(config.hosts, group=config.group, environment=os.environ)
    spawn = Spawner(process, anew=lambda: spawner.launch_anew(_program("spawn_anew")))
    with phase("open the store"):
        store = open_store(paths.data_root, spawn.spawn)
        await store.start()
    with phase("start networks"):
        networks = await Networks.start(network_config(config, paths), spawn=spawn.spawn)
    distribution = Distribution(store, options_of(config, os.environ))
    services = _services(config, paths, store, distribution, networks, spawn)
    _reload_on_hangup(arguments, services)
    with phase("reconcile"):
        reconcile.load(services)
        await reconcile.reconcile(services)
    listener = Listener(make_app(services, version=VERSION))
    with phase("listen"):
        for sock in sockets:
            await listener.listen(sock)
    # What is there now stays; and a list of a thousand containers is no reason to look through all of it.
    gc.freeze()
    gc.set_threshold(GARBAGE_THRESHOLD)
    instance.notify(os.environ, "READY=1")
    reconcile.apply_policies(services)
    try:
        await stop.wait()
    finally:
        instance.notify(os.environ, "STOPPING=1")
        await listener.close()
        await reconcile.let_go(services)
        await networks.stop()
        await distribution.close()
        services.events.close()
        services.receipts.close()
        await store.close()
        spawn.close()
        listen.remove_paths(config.hosts)
    return 0


def _services(
    config: DaemonConfig,
    paths: Any,
    store: Any,
    distribution: Distribution,
    networks: Networks,
    spawn: Any,
) -> Services:
    from sampan.engine import remap
    from sampan.engine.clock import Clock
    from sampan.engine.config import Live
    from sampan.engine.containers import Containers
    from sampan.engine.eventlog import EventLog
    from sampan.engine.events import Events
    from sampan.engine.exec import Execs
    from sampan.engine.host import leave_cgroup_above, look_around, raise_own_limits
    from sampan.engine.intent import CGROUP_PARENT, install_init, seccomp_default
    from sampan.engine.network.registry import NetworkRegistry
    from sampan.engine.receipts import Receipts
    from sampan.engine.services import Services
    from sampan.linux.kernel import LinuxKernel
    from sampan.linux.process import keep_large_blocks_apart
    from sampan.monitor.client import Monitors

    raise_own_limits(OOM_SCORE)
    keep_large_blocks_apart()
    install_init(paths)
    host = look_around()
    leave_cgroup_above(config.cgroup_parent or CGROUP_PARENT, host.hierarchies)
    clock = Clock()
    monitors: Any = Monitors(spawn)
    return Services(
        live=Live(config),
        paths=paths,
        host=host,
        store=store,
        distribution=distribution,
        networks=networks,
        network_records=NetworkRegistry(store.metadata),
        monitors=monitors,
        containers=Containers(),
        execs=Execs(),
        events=Events(clock.now, log=EventLog(paths.events)),
        kernel=LinuxKernel(),
        spawn=spawn.spawn,
        receipts=Receipts(paths.receipts, store.trash.discard),
        remap=remap.find(config.userns_remap),
        seccomp_default=seccomp_default(config.seccomp_profile),
        clock=clock,
    )


def _catch_signals(arguments: options.Arguments) -> Any:
    """SIGTERM and SIGINT end the daemon, containers go on; SIGHUP: `_reload_on_hangup`."""
    import asyncio
    import signal

    stop = asyncio.Event()
    # The spawner is our only child, and EOF tells of its end.
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGTERM, stop.set)
    loop.add_signal_handler(signal.SIGINT, stop.set)
    _reload_on_hangup(arguments)
    return stop


def _reload_on_hangup(arguments: options.Arguments, services: Services | None = None) -> None:
    """What SIGHUP does; until there are services it only looks whether all is said loudly enough."""
    import asyncio
    import signal

    from sampan.engine import reload

    def act() -> None:
        reload.reload(services, arguments.directives, arguments.config_file)

    asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, act)


if __name__ == "__main__":
    sys.exit(main())
