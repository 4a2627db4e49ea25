"""TPM 2.0 structures (Trusted Platform Module Library, part 2, revision 1.59) as frozen values.

Only what enrolment uses, and only the algorithms that it allows. Integers are big-endian. A decoder takes exactly one
structure that fills its bytes, refuses every selector it doesn't know, and raises `Malformed` and nothing else;
encoding what was decoded gives the same bytes.
"""
