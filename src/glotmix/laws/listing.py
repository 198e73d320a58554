"""What `glotmix laws` lists."""

from __future__ import annotations

from glotmix.laws import ORDER, all_laws, residuals
from glotmix.laws.law import Problem


def law_rows() -> list[dict[str, str]]:
    """Every law, what weighs its shares by phase (LAW+order), and the black boxes that may stand alone or on one of
    them (LAW+BOX)."""
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
    rows.append(
        {
            "law": f"LAW+{ORDER}",
            "formula": "LAW with q_l = Σ_k w_k p_kl for p_l, w_k ∝ ∫_phase exp(λ c) ds, c the cumulative learning rate",
            "parameters (target t, another l)": "LAW's, late, late_others",
            "needs": "LAW's",
            "share of zero": "as LAW",
            "source": "ours",
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
