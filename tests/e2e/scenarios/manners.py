"""What the simulated services saw in the whole run."""

from __future__ import annotations

from harness.evidence import expect
from harness.world import World


def run(world: World) -> None:
    """See the module."""
    imds, ec2 = world.imds, world.ec2
    expect(not imds.violations, f"requests without exactly one good token: {imds.violations[:5]}")
    expect(not ec2.violations, f"improper calls: {ec2.violations[:5]}")
    expect(imds.requests > 0, "the metadata service was never asked")
    expect(
        len(imds.tokens) < imds.requests, f"{len(imds.tokens)} tokens for {imds.requests} requests: tokens are not kept"
    )
    counts: dict[str, int] = {}
    for call in ec2.calls:
        name = f"{call.action} (dry run)" if call.dry_run else call.action
        counts[name] = counts.get(name, 0) + 1
    shown = ", ".join(f"{name} {count}" for name, count in sorted(counts.items()))
    world.report.note(f"IMDS: {imds.requests} requests with {len(imds.tokens)} tokens; EC2: {shown}")
