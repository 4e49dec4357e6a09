"""The prior over databases as plain values: every range and every choice that generation draws from.

A range [low, high] of integers includes both ends and is drawn uniformly; of floats it is U[low, high).
A list of names or values is drawn uniformly. Defaults are those of the generator plurel 1.1 (PluRel,
arXiv:2602.04029).
"""

from datetime import date
from typing import Annotated, Literal, TypeVar, get_args

from pydantic import AfterValidator, Field, field_validator, model_validator

from relscale.platform.config import Config

Family = Literal[
    "ErdosRenyi",
    "BarabasiAlbert",
    "RandomTree",
    "ReverseRandomTree",
    "WattsStrogatz",
    "Layered",
    "RandomCauchy",
]
EdgeWeights = Literal["gaussian", "lognormal", "cauchy", "uniform"]
ColumnType = Literal["numerical", "categorical"]
Mode = Literal["type_eager", "type_lazy"]
Initialiser = Literal[
    "kaiming_normal", "kaiming_uniform", "xavier_normal", "xavier_uniform", "trunc_normal", "sparse"
]
Aggregation = Literal["sum", "max", "product", "logexp"]
SourceKind = Literal["ts", "uniform", "gaussian", "beta", "mixed"]
Transform = Literal["identity", "rank_uniform", "log", "sqrt", "standardize"]
ActivationName = Literal[
    "relu",
    "elu",
    "selu",
    "silu",
    "softsign",
    "tanh",
    "sigmoid",
    "hardswish",
    "mish",
    "leaky_relu",
    "gelu",
    "softplus",
    "hardsigmoid",
    "hardtanh",
    "celu",
    "tanhshrink",
    "rrelu",
    "logsigmoid",
    "softshrink",
    "hardshrink",
    "identity",
    "abs",
    "sin",
    "cos",
    "sign",
    "clamp",
    "signed_log",
    "bent_identity",
    "sine_mixture",
]

T = TypeVar("T")


def _ordered(pair: tuple) -> tuple:
    if pair[0] > pair[1]:
        raise ValueError(f"the low end {pair[0]} is above the high end {pair[1]}; write [low, high]")
    return pair


def _distinct(options: tuple) -> tuple:
    if len(set(options)) != len(options):
        raise ValueError("an option is listed twice; list each once")
    return options


Count = Annotated[int, Field(ge=1)]
Plural = Annotated[int, Field(ge=2)]
Finite = Annotated[float, Field(allow_inf_nan=False)]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
NotNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Share = Annotated[float, Field(ge=0, le=1)]
PositiveShare = Annotated[float, Field(gt=0, le=1)]
Range = Annotated[tuple[T, T], AfterValidator(_ordered)]
Options = Annotated[tuple[T, ...], Field(min_length=1), AfterValidator(_distinct)]


class GraphPrior(Config):
    """Families of random directed acyclic graphs, shared by schemas and causal models."""

    er_edge_prob: Range[Share] = (0.3, 0.8)
    """ErdosRenyi: probability of each of the two directions of a pair."""
    er_arcs: Literal["both", "forward"] = "both"
    """ErdosRenyi: a pair is linked if either direction is drawn, and components are then joined; or arcs go
    forward only and the graph is drawn again until it is connected."""
    ba_sink_edge_dropout: Share = 0.4
    """BarabasiAlbert: probability that a sink with several parents loses one of them."""
    ws_rewire_prob: Range[Share] = (0.1, 0.3)
    """WattsStrogatz: probability that a ring edge is rewired."""
    ws_neighbours: Options[Annotated[int, Field(ge=2, multiple_of=2)]] = (2, 4)
    """WattsStrogatz: ring neighbours of a node, over both sides; even."""
    layered_depth: Range[Plural] = (2, 8)
    """Layered: number of layers."""
    layered_edge_dropout: Share = 0.1
    """Layered: probability that a pair of nodes in consecutive layers is not linked."""


class ConnectivityPrior(Config):
    """Foreign keys: a bipartite hierarchical stochastic block model for each of them."""

    levels: Range[Count] = (1, 5)
    """Depth of the hierarchy."""
    clusters_per_level: Range[Count] = (1, 3)
    """Blocks into which one block splits, for each level and side; the product over levels is the number of
    blocks of a side (at most 243 by default)."""
    diagonal_score: Positive = 0.9
    """Relative weight of a link between matching blocks at one level."""
    off_diagonal_score: Range[Positive] = (0.001, 0.002)
    """Relative weight of a link between other blocks at one level."""

    @model_validator(mode="after")
    def _few_blocks(self) -> "ConnectivityPrior":
        blocks = self.clusters_per_level[1] ** self.levels[1]
        if blocks > 4096:
            raise ValueError(
                f"{blocks} blocks a side are possible, more than 4096; lower levels or clusters_per_level"
            )
        return self


class SourcePrior(Config):
    """Signals of nodes without parents. Scales are in units of the latent values."""

    kinds: Options[SourceKind] = ("ts", "uniform", "gaussian", "beta", "mixed")
    """Generators: ts is trend + cycle + autoregressive noise in row order, the others are i.i.d."""
    value_scales: Options[Positive] = (0.01, 0.1, 1.0, 10.0, 100.0)
    """Scales of a signal's value range."""
    beta: Range[Positive] = (0.5, 5.0)
    """Both parameters of a beta source."""
    trend_exponent: Range[NotNegative] = (0.0, 2.0)
    """Exponent of the trend (row / rows) ** exponent."""
    trend_scales_activity: Options[Finite] = (-1.0, 1.0)
    """Factors of the trend in activity tables."""
    trend_scales_entity: Options[Finite] = (0.0,)
    """Factors of the trend in entity tables."""
    cycle_shares: Options[PositiveShare] = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)
    """Half period of the cycle as a share of the table's rows."""
    cycle_scales_activity: Options[Finite] = (-1.0, 1.0)
    """Factors of the cycle in activity tables."""
    cycle_scales_entity: Options[Finite] = (0.0,)
    """Factors of the cycle in entity tables."""
    ar_coefficient: Range[Annotated[float, Field(ge=0, lt=1)]] = (0.0, 0.9)
    """Coefficient of the first-order autoregression."""
    ar_noise_activity: NotNegative = 0.05
    """Standard deviation of its innovations in activity tables."""
    ar_noise_entity: NotNegative = 1.0
    """The same in entity tables."""


class MechanismPrior(Config):
    """Structural equations: random networks on the edges and nodes of a table's causal model."""

    layouts: Options[Family] = (
        "ErdosRenyi",
        "BarabasiAlbert",
        "RandomTree",
        "ReverseRandomTree",
        "Layered",
        "WattsStrogatz",
        "RandomCauchy",
    )
    """Graph families of the causal model."""
    column_ratio: Range[Positive] = (0.3, 0.9)
    """Columns per hidden node: a table of C columns has C + ceil(C / ratio) + 3 nodes."""
    edge_weights: Options[EdgeWeights] = ("gaussian", "lognormal", "cauchy", "uniform")
    """Laws of the edge weights, one drawn for each graph."""
    propagation_modes: Options[Mode] = ("type_eager", "type_lazy")
    """Whether nodes carry their type while values propagate, or columns are quantised afterwards."""
    aggregations: Options[Aggregation] = ("sum", "max", "product", "logexp")
    """How a node joins the messages of its parents, elementwise."""
    noise_beta: Range[Positive] = (0.5, 5.0)
    """Both parameters of a node's beta noise."""
    noise_pairs: tuple[tuple[Positive, Positive], ...] = ()
    """Pairs of parameters to draw a node's noise from, instead of noise_beta."""
    term_limit: Positive | None = 1e4
    """Messages are clamped to plus and minus this before they are joined; null for no clamp."""
    hidden_limit: Positive | None = 1e6
    """Hidden units are clamped to plus and minus this; null for no clamp."""
    mlp_layers: Range[Count] = (2, 4)
    """Weight matrices of a network."""
    weight_density: Range[PositiveShare] = (0.3, 1.0)
    """Expected share of a matrix's weights that are kept."""
    initialisers: Options[Initialiser] = (
        "kaiming_normal",
        "kaiming_uniform",
        "xavier_normal",
        "xavier_uniform",
        "trunc_normal",
        "sparse",
    )
    """Laws of a matrix's weights."""
    activations: Options[ActivationName] = get_args(ActivationName)
    """Activations of the hidden layers, one drawn for each layer."""
    activation_log_gain: Range[Finite] = (-1.0, 1.0)
    """Natural logarithm of the factor behind each activation."""
    activation_resampling: Literal["frozen", "per_row"] = "frozen"
    """Whether a layer keeps its activation, or every row draws one afresh in every layer."""

    @model_validator(mode="after")
    def _drawn_by_row(self) -> "MechanismPrior":
        if self.activation_resampling == "per_row" and "sine_mixture" in self.activations:
            raise ValueError(
                "activation_resampling per_row cannot draw sine_mixture; take it out of activations"
            )
        return self


class ColumnPrior(Config):
    """What happens to the columns once all tables are computed."""

    transforms: Options[Transform] = ("identity", "rank_uniform", "log", "sqrt", "standardize")
    """Transforms of a numerical column."""
    missing_share: Range[Share] = (0.01, 0.1)
    """Share of missing cells in the numerical columns of a table, completely at random."""
    label_permute_prob: Range[Share] = (0.3, 1.0)
    """Probability that the classes of a quantised column are permuted."""
    label_reverse_prob: Range[Share] = (0.2, 0.8)
    """Probability that they are reversed after that."""


def check_splits(val_split: float, test_split: float) -> None:
    """ValueError unless validation begins before test."""
    if val_split >= test_split:
        raise ValueError(f"val_split {val_split} is not below test_split {test_split}; swap them")


class GeneratorConfig(Config):
    """The whole prior: a database is a function of (seed, GeneratorConfig)."""

    table_layouts: Options[Family] = ("BarabasiAlbert", "ReverseRandomTree", "WattsStrogatz")
    """Graph families of the schema: nodes are tables, edges foreign keys from child to parent."""
    num_tables: Range[Count] = (3, 20)
    """Tables of a database."""
    rows_entity: Range[Count] = (500, 1000)
    """Rows of a table that others refer to."""
    rows_activity: Range[Count] = (2000, 5000)
    """Rows of a table that no other refers to; these have a time column."""
    sql_schema: str = ""
    """SQL text (CREATE TABLE ...) that declares tables and columns, in place of random ones: table_layouts,
    num_tables, num_columns and num_columns_exponent are then not read."""
    num_columns: Range[Count] = (3, 40)
    """Feature columns of a table, before degenerate ones are dropped."""
    num_columns_exponent: NotNegative = 1.0
    """Exponent of the power law of num_columns: P(k) is proportional to k ** -exponent."""
    column_types: Options[ColumnType] = ("categorical", "numerical")
    """Types of a column or hidden node."""
    num_categories: Range[Plural] = (2, 10)
    """Classes of a categorical column or hidden node."""
    time_window: Range[date] = (date(1990, 1, 1), date(2025, 1, 1))
    """First day and day after the last between which a database's own period lies."""
    val_split: Annotated[float, Field(gt=0, lt=1)] = 0.8
    """Position of the validation timestamp in the database's period."""
    test_split: Annotated[float, Field(gt=0, lt=1)] = 0.9
    """Position of the test timestamp; above val_split."""
    arithmetic: Literal["fast", "exact"] = "fast"
    """Whether networks that encode numbers are interpolated where that is accurate, or run for every row; the
    law is the same."""
    graphs: GraphPrior = GraphPrior()
    """Random graphs."""
    connectivity: ConnectivityPrior = ConnectivityPrior()
    """Foreign keys."""
    sources: SourcePrior = SourcePrior()
    """Root signals."""
    mechanisms: MechanismPrior = MechanismPrior()
    """Structural equations."""
    columns: ColumnPrior = ColumnPrior()
    """Finishing of the columns."""

    @field_validator("sql_schema")
    @classmethod
    def _sql_is_understood(cls, text: str) -> str:
        if text:
            from relscale.generation.sql_schema import read_declaration  # the parser is slow to import

            read_declaration(text)  # a ConfigError goes through pydantic unchanged
        return text

    @model_validator(mode="after")
    def _times_fit(self) -> "GeneratorConfig":
        check_splits(self.val_split, self.test_split)
        if (self.time_window[1] - self.time_window[0]).days < 2:
            raise ValueError("time_window is shorter than two days; widen it")
        return self


PAPER = GeneratorConfig(
    graphs=GraphPrior(er_arcs="forward"),
    sources=SourcePrior(kinds=("ts",), value_scales=(1.0,), ar_coefficient=(0.0, 0.0)),
    mechanisms=MechanismPrior(
        layouts=("ErdosRenyi", "BarabasiAlbert", "RandomTree", "ReverseRandomTree", "Layered"),
        edge_weights=("gaussian",),
        propagation_modes=("type_eager",),
        aggregations=("sum",),
        noise_pairs=((0.5, 0.5), (2.0, 2.0), (2.0, 3.0), (2.0, 4.0), (4.0, 1.0)),
        term_limit=None,
        hidden_limit=None,
        mlp_layers=(2, 2),
        weight_density=(1.0, 1.0),
        activations=("relu", "elu", "selu", "silu", "softsign", "tanh"),
        activation_log_gain=(0.0, 0.0),
        activation_resampling="per_row",
    ),
    columns=ColumnPrior(transforms=("identity",)),
)

PRESETS: dict[str, GeneratorConfig] = {"plurel-1.1": GeneratorConfig(), "paper": PAPER}
"""Named priors, frozen: plurel-1.1 is the defaults, paper the release behind the published scaling law.

Source: PluRel (arXiv:2602.04029), reference implementation 1.1 and its tag v1.0.0.
"""
