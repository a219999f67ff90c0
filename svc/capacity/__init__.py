"""How many machines an installation needs, on paper: inputs, measured costs, formulas, tables. A command, not served.

Every figure that is printed carries the formula it comes from, in the names of the inputs; where an input comes from stands
beside it. Owns nothing and promises only arithmetic: a plan is as good as its inputs, and says which of them are assumed.
"""
