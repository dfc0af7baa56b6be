"""What the values of OBD-II's current data (mode 01) mean: sizes and formulae of SAE J1979-DA and ISO 15031-5.

A value is `raw * scale + offset` of the bytes taken as one unsigned number, highest byte first. The sizes of the others
are there so that an answer with several PIDs can be read on behind them.
"""

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Pid:
    """A value that is kept."""

    number: int
    size: int
    name: str
    unit: str
    scale: float
    offset: float

    @property
    def maximum(self) -> float:
        """The highest value that fits; the lowest is `offset`."""
        return self.value(b"\xff" * self.size)

    def value(self, data: bytes) -> float:
        """The value of its bytes."""
        return int.from_bytes(data, "big") * self.scale + self.offset


_PERCENT: Final = 100 / 255
_TRIM: Final = 100 / 128

PIDS: Final = {
    pid.number: pid
    for pid in (
        Pid(0x04, 1, "CalculatedLoad", "%", _PERCENT, 0),
        Pid(0x05, 1, "CoolantTemperature", "degC", 1, -40),
        Pid(0x06, 1, "ShortTermFuelTrimBank1", "%", _TRIM, -100),
        Pid(0x07, 1, "LongTermFuelTrimBank1", "%", _TRIM, -100),
        Pid(0x08, 1, "ShortTermFuelTrimBank2", "%", _TRIM, -100),
        Pid(0x09, 1, "LongTermFuelTrimBank2", "%", _TRIM, -100),
        Pid(0x0A, 1, "FuelPressure", "kPa", 3, 0),
        Pid(0x0B, 1, "IntakeManifoldPressure", "kPa", 1, 0),
        Pid(0x0C, 2, "EngineSpeed", "rpm", 0.25, 0),
        Pid(0x0D, 1, "VehicleSpeed", "km/h", 1, 0),
        Pid(0x0E, 1, "TimingAdvance", "deg", 0.5, -64),
        Pid(0x0F, 1, "IntakeAirTemperature", "degC", 1, -40),
        Pid(0x10, 2, "MassAirFlow", "g/s", 0.01, 0),
        Pid(0x11, 1, "ThrottlePosition", "%", _PERCENT, 0),
        Pid(0x1F, 2, "TimeSinceEngineStart", "s", 1, 0),
        Pid(0x21, 2, "DistanceWithMalfunction", "km", 1, 0),
        Pid(0x23, 2, "FuelRailGaugePressure", "kPa", 10, 0),
        Pid(0x2C, 1, "CommandedEgr", "%", _PERCENT, 0),
        Pid(0x2D, 1, "EgrError", "%", _TRIM, -100),
        Pid(0x2E, 1, "CommandedEvaporativePurge", "%", _PERCENT, 0),
        Pid(0x2F, 1, "FuelLevel", "%", _PERCENT, 0),
        Pid(0x30, 1, "WarmUpsSinceCodesCleared", "", 1, 0),
        Pid(0x31, 2, "DistanceSinceCodesCleared", "km", 1, 0),
        Pid(0x33, 1, "BarometricPressure", "kPa", 1, 0),
        Pid(0x3C, 2, "CatalystTemperatureBank1Sensor1", "degC", 0.1, -40),
        Pid(0x3D, 2, "CatalystTemperatureBank2Sensor1", "degC", 0.1, -40),
        Pid(0x3E, 2, "CatalystTemperatureBank1Sensor2", "degC", 0.1, -40),
        Pid(0x3F, 2, "CatalystTemperatureBank2Sensor2", "degC", 0.1, -40),
        Pid(0x42, 2, "ControlModuleVoltage", "V", 0.001, 0),
        Pid(0x43, 2, "AbsoluteLoad", "%", _PERCENT, 0),
        Pid(0x44, 2, "CommandedEquivalenceRatio", "", 2 / 65536, 0),
        Pid(0x45, 1, "RelativeThrottlePosition", "%", _PERCENT, 0),
        Pid(0x46, 1, "AmbientAirTemperature", "degC", 1, -40),
        Pid(0x47, 1, "ThrottlePositionB", "%", _PERCENT, 0),
        Pid(0x49, 1, "AcceleratorPositionD", "%", _PERCENT, 0),
        Pid(0x4A, 1, "AcceleratorPositionE", "%", _PERCENT, 0),
        Pid(0x4C, 1, "CommandedThrottle", "%", _PERCENT, 0),
        Pid(0x4D, 2, "TimeWithMalfunction", "min", 1, 0),
        Pid(0x4E, 2, "TimeSinceCodesCleared", "min", 1, 0),
        Pid(0x51, 1, "FuelType", "", 1, 0),
        Pid(0x52, 1, "EthanolShare", "%", _PERCENT, 0),
        Pid(0x59, 2, "FuelRailAbsolutePressure", "kPa", 10, 0),
        Pid(0x5A, 1, "RelativeAcceleratorPosition", "%", _PERCENT, 0),
        Pid(0x5B, 1, "HybridBatteryRemainingLife", "%", _PERCENT, 0),
        Pid(0x5C, 1, "EngineOilTemperature", "degC", 1, -40),
        Pid(0x5D, 2, "FuelInjectionTiming", "deg", 1 / 128, -210),
        Pid(0x5E, 2, "EngineFuelRate", "l/h", 0.05, 0),
        Pid(0x61, 1, "DemandedTorque", "%", 1, -125),
        Pid(0x62, 1, "ActualTorque", "%", 1, -125),
        Pid(0x63, 2, "ReferenceTorque", "Nm", 1, 0),
        Pid(0xA6, 4, "Odometer", "km", 0.1, 0),
    )
}

_OTHERS: Final = {
    1: (0x12, 0x13, 0x1C, 0x1D, 0x1E, 0x48, 0x4B, 0x5F),
    2: (0x02, 0x03, *range(0x14, 0x1C), 0x22, 0x32, 0x53, 0x54, *range(0x55, 0x59)),
    4: (*range(0x00, 0xE0, 0x20), 0x01, *range(0x24, 0x2C), *range(0x34, 0x3C), 0x41, 0x4F, 0x50),
}

SIZES: Final = {number: size for size, numbers in _OTHERS.items() for number in numbers} | {
    number: pid.size for number, pid in PIDS.items()
}
