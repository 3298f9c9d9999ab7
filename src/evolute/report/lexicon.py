"""Words that say nothing of a topic: English function words, and what instructions are full of."""

STOP_WORDS = frozenset(
    """about above after again against all also although always among and another any are around because been before
    being below between both but can cannot could did does doing done down during each either else enough etc
    even ever every few first following for from further get give given gives giving had has have having her
    here hers him his how however i'm if in into is isn it its itself just last least less let like made make
    makes making many may might more most much must need needs neither new next nor not now of off often on once
    one only onto or other our ours out over own per please provide provided provides rather same second see
    several shall she should show since so some still such take than that the their theirs them then there these
    they this those three through thus to too toward two under until up upon us use used uses using very via was
    we well were what when where whether which while who whom whose why will with within without would write you
    your yours yourself answer answers ask asked asks consider create describe detailed ensure example examples
    explain explanation find generate help identify include included includes including input instruction
    instructions list output prompt prompts question questions response sentence sentences specific task tasks
    text word words""".split()  # noqa: SIM905
)
