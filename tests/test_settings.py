import pytest

from vaegan.settings import Settings, SettingsError


def test_what_was_saved_is_read_back():
    settings = Settings({"Smiling": 2.0, "Young": -1.5}, ("Male",), 0.4, 0.9)
    assert Settings.from_json(settings.to_json()) == settings
    assert Settings.from_json('{"format": 1}') == Settings()


def test_sliders_at_zero_need_no_line():
    settings = Settings({"Smiling": 0.0, "Bald": 1})
    assert "Smiling" not in settings.to_json()
    assert not settings.idle and Settings({"Smiling": 0.0}).idle


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "not JSON"),
        ("[1, 2]", "no settings of this program"),
        ('{"format": 2}', "no settings of this program"),
        ('{"format": 1, "sliders": [1]}', "no list of sliders"),
        ('{"format": 1, "sliders": {"Smiling": "much"}}', "Smiling is no number"),
        ('{"format": 1, "sliders": {"Smiling": NaN}}', "Smiling is no number"),
        ('{"format": 1, "sliders": {"Smiling": true}}', "Smiling is no number"),
        (f'{{"format": 1, "sliders": {{"Smiling": {10**400}}}}}', "Smiling is too large"),
        ('{"format": 1, "hold": "Male"}', "what to hold"),
        ('{"format": 1, "detail": 1.5}', "detail lies between 0 and 1, not at 1.5"),
        ('{"format": 1, "softness": null}', "softness is no number"),
        ('{"format": 1, "colour": 1}', "'colour'"),
        ("[" * 100_000, "not JSON"),
    ],
)
def test_anything_else_is_one_sentence(text, sentence):
    with pytest.raises(SettingsError, match=sentence) as caught:
        Settings.from_json(text)
    assert str(caught.value).endswith(".") and "\n" not in str(caught.value)
