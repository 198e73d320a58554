"""roff: what a page prints, as text; checked on pages written here, in both macro languages."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from glotmix.corpus.readers.roff import paragraphs
from glotmix.corpus.readers.roff_escapes import special, unescaped


@pytest.mark.parametrize(
    ("written", "printed"),
    [
        (r"\fBls\fP \f(CWx\fR \f[BI]y\f[]", "ls x y"),
        (r"\-a \(en \(em \[u00E9] \[u0065_0301] \['e] \(:o", "-a – — é é é ö"),
        (r"\(lqhi\(rq \*(lqyo\*(rq \*[q]z\*[q] \(Fox\(Fc \(oqa\(cq", '“hi” “yo” "z" «x» ‘a’'),
        (r"a\&b\|c\^d\%e\:f\,g\/h\)i", "abcdefghi"),
        (r"a\ b\~c\0d", "a b c d"),
        (r"C:\ee\ex \\n", "C:\\e\\x \\n"),
        (r"\s-1BIG\s0 \s+2x\s[-2]y \m[blue]url\m[] \v'1i'z\h'|2n'", "BIG xy url z"),
        (r"\(*a\(*O \[*b] \(bu \(co \(tm \(>= \(mu \(12", "αΟ β • © ™ ≥ × ½"),
        (r"\N'65'\o'ab'\zx\w'abc'\n(.g\$1", "Aax"),
        (r"100\(de \[rs] \(rs \(aq \(dq \(ti \(ha \(ga", "100° \\ \\ ' \" ~ ^ `"),
        ("no escapes at all", "no escapes at all"),
        (r"\[nosuchname]\(zz", ""),
    ],
)
def test_escapes_print_what_groff_prints(written, printed):
    assert unescaped(written) == printed


def test_escaped_backslashes_stay_and_only_once():
    assert unescaped(r"\e\e") == "\\\\"
    assert unescaped(r"printf(\(dq%d\en\(dq)") == 'printf("%d\\n")'


def test_code_points_outside_unicode_print_nothing():
    assert special("uD800") == special("u110000") == ""


MAN = r"""'\" t -*- coding: UTF-8 -*-
.\" Copyright by nobody
.de Vb
secret macro body
..
.ig
ignored text
..
.ds Ab fi\(lqn\(rq
.ie \n(.g .ds Aq \(aq
.el       .ds Aq '
.if n .nh
.if t .ft P
.if t \{\
never printed
.\}
.TH LS 1 2024-01-01 "GNU"
.SH NOMBRE
ls \- lista \fIcontenidos\fP
.SH "SINOPSIS LARGA"
.B ls
.RI [ opciones ]... " archivo" \&...
.SH
Descripción
.PP
Primera línea
y segunda\
 pegada.
.\" comentario
Tercera \" hasta el final
.TP
.BR \-a ", " \-\^\-all
Muestra todo: \*(Ab.
.TP
\fB\-b\fP
Otra.
.IP \(bu 2
Un punto
.RS
.IP 1. 4
dentro
.RE
.nf
línea uno
  línea dos
.fi
.EX
int main(void) { return 0; }
.EE
.TS
tab(@);
a@b
.TE
.EQ
x sup 2
.EN
.UR https://example.org
la página
.UE .
Ver
.MT a@b.org
.ME .
.so man1/other.1
\&.TH no es macro
'br
fin\c
al.
"""


def test_man_pages_become_paragraphs_of_what_they_print():
    assert paragraphs(MAN) == [
        "NOMBRE",
        "ls - lista contenidos",
        "SINOPSIS LARGA",
        "ls [opciones]... archivo...",
        "Descripción",
        "Primera línea y segunda pegada. Tercera",
        "-a, --all Muestra todo: fi“n”.",
        "-b Otra.",
        "• Un punto",
        "1. dentro",
        "línea uno\nlínea dos",
        "la página. Ver a@b.org. .TH no es macro\nfinal.",
    ]


MDOC = r""".Dd January 1, 2024
.Dt CAL 1
.Os
.Sh NOMBRE
.Nm cal ,
.Nm ncal
.Nd muestra un calendario
.Sh SINOPSIS
.Nm
.Op Fl 31jy
.Op Fl A Ar número
.Op Ar mes Ns | Ns Ar año
.Nm ncal Fl Fl help
.Sh DESCRIPCIÓN
La orden
.Nm
muestra
.Dq un texto .
Véase
.Xr date 1 ,
.Pq Xr at 1
y
.Pa /etc/motd .
.Bl -tag -width Ds
.It Fl h
Apaga el resaltado de
.Em hoy .
.It Fl J Ar archivo
Juliano
.Po antes de
.Li 1582
.Pc .
.El
.Ex -std
"""


def test_mdoc_macros_inside_macros_are_said():
    assert paragraphs(MDOC) == [
        "NOMBRE",
        "cal, ncal — muestra un calendario",
        "SINOPSIS",
        "cal [-31jy] [-A número] [mes|año] ncal --help",
        "DESCRIPCIÓN",
        "La orden cal muestra “un texto”. Véase date(1), (at(1)) y /etc/motd.",
        "-h Apaga el resaltado de hoy.",
        "-J archivo Juliano (antes de 1582).",
    ]


@pytest.mark.parametrize(
    ("lines", "kept"),
    [
        (".if n si", "si"),
        (".if !t si", "si"),
        (".if t no", ""),
        (".if\nsi", "si"),
        (".ie\n.el si", "si"),
        (".if !", ""),
        (".ie n si\n.el no", "si"),
        (".ie t no\n.el si", "si"),
        (".ie t \\{\\\nno\n.\\}\n.el \\{\\\nsi\n.\\}", "si"),
        (".if n \\{\\\n.ie t no\n.el \\{\\\nsi\n.\\}\n.\\}\nfin", "si fin"),
        (".if t \\{\\\n.if n \\{\\\nno\n.\\}\nno\n.\\}\nfin", "fin"),
        (".if 'a'a' si", "si"),
        ('.if "a"b" no', ""),
        (".if \\n(.g si", "si"),
        (".if \\n[.g] \\{si\\}", "si"),
        (".if (\\n(rF:(\\n(.g==0)) \\{\\\n.  if \\nF \\{\\\nno\n.  \\}\n.\\}\nfin", "fin"),
        (".while 0 \\{\\\nno\n.\\}\nfin", "fin"),
    ],
)
def test_conditions_are_decided_as_nroff_of_groff_would(lines, kept):
    assert " ".join(paragraphs(lines)) == kept


def test_a_string_that_is_defined_by_itself_ends():
    assert paragraphs(".ds x a\\*x\n\\*x")[0].startswith("a")


@given(st.text(alphabet=st.sampled_from(list("\\.'\"(*[]{}fnswPBI RSHTEd\n \u00e9abc-")), max_size=120))
def test_any_page_is_read_without_an_error(page):
    for text in paragraphs(page):
        assert text.strip() == text != ""


@pytest.mark.parametrize(
    "unit",
    [
        "\\f[",
        "\\[x",
        ".if n ",
        ".ie t ",
        "a\\\n",
        "a\\c\n",
        ".Ns a\n",
        ".ds xx " + "\\*(xx" * 16 + "\n\\*(xx\n",
        '"',
        ".Op ",
    ],
)
def test_time_grows_with_the_page_and_no_faster(unit):
    """Linear is a second; brackets never closed, joined lines and strings by each other took minutes to years."""
    page = unit * (400_000 // len(unit))
    began = time.process_time()
    found = paragraphs(page)
    assert time.process_time() - began < 60  # of this process alone; what other work there is does not count
    assert sum(map(len, found)) < 40 * len(page)
