from stepkit.errors import near_misses


def test_near_misses():
    assert near_misses("tipz", ["tips", "fare"]) == "Did you mean 'tips'? There are: 'fare', 'tips'."
    assert near_misses("zzz", ["tips"]) == "There are: 'tips'."
    assert near_misses("zzz", []) == "There are none."
    assert near_misses("zzz", map(str, range(25))).endswith(" and 5 more.")
    assert near_misses("tip", ["tips", "tipp"]) == "Did you mean 'tips' or 'tipp'? There are: 'tipp', 'tips'."
