"""History: reads what delivery has stored, and owns nothing.

It promises that whatever was pushed or acknowledged can be read here, in its order and without holes, by those who are part of
the conversation and by nobody else; and that text which was withdrawn is in no answer, whatever was stored before or after.
"""
