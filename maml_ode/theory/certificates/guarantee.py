"""Which of the statements that hold promises most, in one sentence (C20)."""

from __future__ import annotations

import math

from maml_ode.theory.certificates.certificate import Certificate, Certificates
from maml_ode.theory.certificates.setting import Setting
from maml_ode.theory.quantities import Status, worst

__all__ = ["which_guarantee"]


def which_guarantee(setting: Setting, found: Certificates) -> Certificate:
    """Choose the strongest statement that holds, and say it in one sentence (C20)."""
    unique, time, local = found["unique_minimum"], found["time_bound"], found["local_minimum"]
    # a search that was not made has a certificate without a formula
    quadratic = any(item.name == "quadratic_exact" and item.formula for item in found)
    estimated = unique.status is Status.ESTIMATE
    manner = "is estimated to have" if estimated else "has"
    promise = ""
    if time.holds and time.bound is not None:
        verb = "are estimated to bring" if time.status is Status.ESTIMATE else "bring"
        promise = (
            f", and {time.bound:.4g} units of time of the MAML flow from w0 {verb} ||grad F|| below "
            f"{setting.tol:g}"
        )
    if quadratic and unique.holds:
        text = (
            f"Quadratic tasks: F {manner} exactly one critical point, its global minimum{promise}."
        )
        return _guarantee(text, True, unique.status)
    if quadratic:
        text = "Quadratic tasks whose G = E H_i (I - alpha H_i)^2 is not positive definite: F "
        text += "has no unique minimum." if unique.holds is False else "may have no unique minimum."
        return _guarantee(text, None, unique.status)
    if unique.holds:
        where = (
            " among the points whose steps stay in the region"
            if (setting.constants.region is not None)
            else ""
        )
        text = f"F {manner} exactly one critical point{where}, its minimum{promise}."
        return _guarantee(text, True, unique.status)
    several = ""
    if unique.holds is False and "critical_points" in {item.name for item in found}:
        points = found["critical_points"]
        several = (
            f"F has {points.value:.0f} critical points ({points.note}), so no uniqueness holds."
        )
    reach = [model for model in setting.models if math.isfinite(model.gap_floor)]
    region_free = setting.constants.region is None
    if reach and region_free:
        model = min(reach, key=lambda item: item.gap_floor)
        bound = model.gradient_bound(model.gradient_radius(model.level_floor))
        verb = "is estimated to come" if setting.status is Status.ESTIMATE else "comes"
        text = (
            f"{several or 'No uniqueness is certified, but'} "
            f"{'The' if several else 'the'} MAML flow {verb} arbitrarily near to "
            f"{{f - f* <= {model.level_floor:.4g}}}, where ||grad F|| <= {bound:.4g}."
        )
        extra = _local_sentence(local)
        return _guarantee(text + extra, True, worst(setting.status, Status.BOUND))
    if local.holds:
        return _guarantee(
            "No global statement applies." + _local_sentence(local), True, local.status
        )
    fallback = found["fallback_stationarity"]
    if fallback.holds:
        text = (
            "Only the fallback applies: F falls along the flow, and ||grad F|| <= "
            f"{setting.tol:g} at some time before {fallback.bound:.4g}."
        )
        return _guarantee(text, True, fallback.status)
    return _guarantee("No guarantee of this theory applies to this problem.", None, setting.status)


def _local_sentence(local: Certificate) -> str:
    if not local.holds:
        return ""
    manner = "It is estimated that F has" if local.status is Status.ESTIMATE else "F has"
    return (
        f" {manner} exactly one critical point in a ball about a computed minimiser: {local.note}."
    )


def _guarantee(text: str, holds: bool | None, status: Status) -> Certificate:
    return Certificate("which_guarantee", text, "", (), holds, status=status)
