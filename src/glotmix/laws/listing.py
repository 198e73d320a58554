"""What `glotmix laws` lists."""

from __future__ import annotations

from glotmix.laws import all_laws, residuals
from glotmix.laws.law import Problem


def law_rows() -> list[dict[str, str]]:
    """Every law, and the black boxes that may stand alone or on one of them (LAW+BOX)."""
    rows = []
    for name, law in all_laws().items():
        example = Problem("t", ("t", "l"), None, frozenset({"N", "D", "unique"}))
        rows.append(
            {
                "law": name,
                "formula": law.formula,
                "parameters (target t, another l)": ", ".join(law.parameters(example)),
                "needs": ", ".join(sorted(law.needs)) or "-",
                "share of zero": "allowed" if law.finite_at_zero else "run left out",
                "source": law.source,
            }
        )
    for name, box in residuals().items():
        text = (type(box).__doc__ or "").split("Source: ")
        rows.append(
            {
                "law": f"{name}, LAW+{name}",
                "formula": f"L = LAW · exp({name}(p, N, D)); alone, LAW is null",
                "parameters (target t, another l)": "LAW's",
                "needs": "LAW's",
                "share of zero": "as LAW",
                "source": " ".join(text[1].split(". ")[0].split()) if len(text) > 1 else "-",
            }
        )
    return rows
