"""The page's sections, each from evidence to HTML; empty where there is nothing to say."""

SECTIONS = {
    "do": ("What to do", "glotmix.report.sections.answer:what_to_do"),
    "sure": ("How sure", "glotmix.report.sections.answer:how_sure"),
    "kept": ("Gained and forgotten", "glotmix.report.sections.kept:gained_and_forgotten"),
    "cost": ("What it cost", "glotmix.report.sections.answer:what_it_cost"),
    "why": ("Why", "glotmix.report.sections.why:why"),
    "order": ("When each language is read", "glotmix.report.sections.order:when"),
    "passes": ("How often a language may be read", "glotmix.report.sections.passes:how_often"),
    "doubts": ("What could be wrong", "glotmix.report.sections.why:what_could_be_wrong"),
    "explore": ("Try it yourself", "glotmix.report.sections.why:explore"),
    "evidence": ("The evidence", "glotmix.report.sections.appendix:evidence"),
}
"""The page from top to bottom, an answer first, then its reasons: anchor to title and function of the evidence."""
COMPARED = {
    "changed": ("What changed", "glotmix.report.sections.two_studies:what_changed"),
    "gains": ("What it gains", "glotmix.report.sections.two_studies:what_it_gains"),
    "transfer": ("Who helps whom", "glotmix.report.sections.two_studies:what_helps"),
    "laws": ("How good the laws are", "glotmix.report.sections.two_studies:how_good_the_laws_are"),
    "cost": ("What they cost", "glotmix.report.sections.two_studies:what_they_cost"),
    "settings": ("What differs in the settings", "glotmix.report.sections.two_studies:what_differs"),
}
"""The page that lays one study beside another: functions of both studies' evidence and what they are called."""
