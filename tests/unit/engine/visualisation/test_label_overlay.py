import numpy as np
from PIL import Image

from hrdet_cli.engine.visualisation.label_overlay import lay_labels_over
from hrdet_cli.engine.visualisation.palette import class_colour

GREY = (100, 100, 100)


def test_each_square_of_labels_has_its_colour_and_unlabelled_ones_none() -> None:
    labels = np.array([[0, 3, 255], [182, 255, 9]], dtype=np.uint8)
    picture = Image.new("RGB", (24 * 2, 16 * 2), GREY)
    pixels = np.asarray(lay_labels_over(picture, labels, zoom=2.0))
    for (row, column), label in np.ndenumerate(labels):
        square = pixels[16 * row : 16 * row + 16, 16 * column : 16 * column + 16]
        colour = GREY if label == 255 else class_colour(int(label))
        wanted = [round(0.65 * grey + 0.35 * of_label) for grey, of_label in zip(GREY, colour, strict=True)]
        assert (square == wanted).all()


def test_a_picture_that_was_made_smaller_shows_the_labels_of_the_places_it_shows() -> None:
    labels = np.arange(4 * 5, dtype=np.uint8).reshape(4, 5)  # of 40x32 pixels, 36x30 of them the picture's
    picture = Image.new("RGB", (9, 8), GREY)
    shown = np.asarray(lay_labels_over(picture, labels, zoom=0.25))
    whole = np.asarray(lay_labels_over(Image.new("RGB", (36, 32), GREY), labels, zoom=1.0))
    np.testing.assert_array_equal(shown, whole[2::4, 2::4])
