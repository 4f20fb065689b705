"""Everything hrdet can find out about the machine it runs on."""

from collections.abc import Mapping
from pathlib import Path

from hrdet_cli.runs.doctor.devices import count_gpus, examine_devices
from hrdet_cli.runs.doctor.finding import Finding
from hrdet_cli.runs.doctor.network import examine_master, examine_membership
from hrdet_cli.runs.doctor.resources import examine_resources
from hrdet_cli.runs.doctor.software import examine_software


def examine_machine(
    environ: Mapping[str, str],
    *,
    run_folder: Path,
    master_address: str | None,
    master_port: int,
) -> tuple[Finding, ...]:
    """Look at software, devices, resources and network; changes nothing and raises nothing for what it finds.

    Args:
        environ: Environment variables.
        run_folder: Where runs will be written; need not exist.
        master_address: Name or address of the node that all others are to find; None looks at no address.
        master_port: TCP port there; also that of launchers that name none.
    """
    findings = [
        *examine_software(),
        *examine_devices(environ),
        *examine_resources(num_processes=max(count_gpus(), 1), run_folder=run_folder),
        examine_membership(environ, default_port=master_port),
    ]
    if master_address is not None:
        findings += examine_master(master_address, master_port)
    return tuple(findings)
