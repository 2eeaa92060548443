"""Joules from a made-up tree of counters, and their absence."""

from feilun.compute.energy import Meter


def zone(root, name, energy, most=1_000_000):
    """Write one counter."""
    folder = root / name
    folder.mkdir(exist_ok=True)
    (folder / "energy_uj").write_text(f"{energy}\n")
    (folder / "max_energy_range_uj").write_text(f"{most}\n")


def test_packages_are_added_and_parts_are_not_counted_twice(tmp_path):
    """Two packages count; a core's share of its package does not, and a counter that began again is carried over."""
    zone(tmp_path, "intel-rapl:0", 100_000)
    zone(tmp_path, "intel-rapl:0:0", 100_000)
    zone(tmp_path, "intel-rapl:1", 900_000)
    meter = Meter(tmp_path)
    zone(tmp_path, "intel-rapl:0", 350_000)
    zone(tmp_path, "intel-rapl:0:0", 300_000)
    zone(tmp_path, "intel-rapl:1", 150_000)
    spent = meter.spent()
    assert spent.joules == 0.5
    assert spent.seconds >= 0


def test_a_machine_without_counters_says_so(tmp_path):
    """No counter, or one that cannot be read, is None and not zero."""
    assert Meter(tmp_path / "nothing").spent().joules is None
    zone(tmp_path, "intel-rapl:0", 5)
    meter = Meter(tmp_path)
    (tmp_path / "intel-rapl:0" / "energy_uj").write_text("no number")
    assert meter.spent().joules is None
