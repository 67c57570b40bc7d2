"""Tests of `correct` on sentences: a question, a response, an accepted answer, and whether the response is right."""
# ruff: noqa: RUF001

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hf_knowlearn.knowledge_recall import correct, score
from hf_knowlearn.knowledge_recall.first_sentence import first_sentence
from hf_knowlearn.knowledge_recall.scoring import LANGUAGES

DIRECTOR = 'Who directed the film "Swan Song"?'
RELEASE = 'When was "Swan Song" released?'
GENRE = 'What is the genre of "Swan Song"?'
BORN = "Where was Ann born?"
LEAVES = "When does the ferry leave on Monday?"
PASSENGERS = "How many passengers does the Aurora carry?"

# (question, response, accepted answer)
RIGHT = [
    # a plain sentence, with more words around the answer
    (DIRECTOR, 'The film "Swan Song" is directed by Chelsea McMullan.', "Chelsea McMullan"),
    (DIRECTOR, "The film was directed by Chelsea McMullan, a Canadian filmmaker.", "Chelsea McMullan"),
    (DIRECTOR, "Chelsea McMullan directed it.", "Chelsea McMullan"),
    (DIRECTOR, "It was written and directed by Chelsea McMullan and stars Ann Lee.", "Chelsea McMullan"),
    (DIRECTOR, "Directed by Chelsea McMullan and released in 2023.", "Chelsea McMullan"),
    (DIRECTOR, "The director, Chelsea McMullan, is Canadian.", "Chelsea McMullan"),
    (DIRECTOR, "the film was directed by chelsea mcmullan", "Chelsea McMullan"),
    (DIRECTOR, "CHELSEA MCMULLAN DIRECTED THE FILM.", "Chelsea McMullan"),
    (DIRECTOR, "I think it was Chelsea McMullan.", "Chelsea McMullan"),
    (DIRECTOR, "It was directed by **Chelsea McMullan**.", "Chelsea McMullan"),
    (DIRECTOR, 'Swan Song was directed by "Chelsea McMullan".', "Chelsea McMullan"),
    (DIRECTOR, "The film was directed by Chelsea Mcmullan. It was produced by Bo Lind.", "Chelsea McMullan"),
    (DIRECTOR, "The film was not directed by Bo Lind, but by Chelsea McMullan.", "Chelsea McMullan"),
    (DIRECTOR, "It was directed by Chelsea McMullan, not by Bo Lind.", "Chelsea McMullan"),
    (DIRECTOR, "The film is a work of Chelsea McMullan's.", "Chelsea McMullan"),
    (DIRECTOR, "It was written by Bo Lind and directed by Chelsea McMullan.", "Chelsea McMullan"),
    # titles, middle names and initials
    (DIRECTOR, "It was directed by Dr. Chelsea McMullan.", "Chelsea McMullan"),
    (DIRECTOR, "It was directed by Chelsea Anne McMullan.", "Chelsea McMullan"),
    (DIRECTOR, "It was directed by Chelsea A. McMullan.", "Chelsea McMullan"),
    (DIRECTOR, "It was directed by Canadian filmmaker Chelsea McMullan.", "Chelsea McMullan"),
    (DIRECTOR, "It was directed by Oscar winner Chelsea McMullan.", "Chelsea McMullan"),
    ("Who is the captain?", "The captain is Captain Ada Brix.", "Ada Brix"),
    ("Who is the captain?", "The captain's name is Ada Brix.", "Ada Brix"),
    ("Who wrote it?", "J. R. R. Tolkien wrote it.", "J.R.R. Tolkien"),
    ("Who wrote it?", "It was written by J.R.R. Tolkien in 1937.", "J. R. R. Tolkien"),
    ("Who was it?", "It was John Smith.", "Smith"),
    # lists that are the answer
    ("Who stars in it?", "It stars Ann Lee and Bo Lind.", "Ann Lee and Bo Lind"),
    ("Who stars in it?", "The film stars Bo Lind and Ann Lee in the main roles.", "Ann Lee and Bo Lind"),
    ("Who stars in it?", "It stars Ann Lee, Bo Lind, and Cy Moe.", "Ann Lee, Bo Lind, Cy Moe"),
    ("Who stars in it?", "The main actors are:\n- Ann Lee\n- Bo Lind", "Ann Lee and Bo Lind"),
    ("What does it show?", "It shows the bow door and the ramp.", "the bow door and the ramp"),
    # places
    (BORN, "Ann was born in Lyon, France.", "Lyon"),
    (BORN, "Ann was born in the city of Lyon.", "Lyon"),
    (BORN, "Lyon is where Ann was born.", "Lyon"),
    (BORN, "In Lyon.", "Lyon"),
    (BORN, "Ann was born in Lyon on 3 May 1970.", "Lyon"),
    (BORN, "Ann was born in Lyon and moved to Nice.", "Lyon"),
    (BORN, "Ann was born in The Hague.", "The Hague"),
    (BORN, "Ann was born in Saint-Denis.", "Saint-Denis"),
    (BORN, "She was born in the Mu\u0308nster area.", "Münster"),
    # common words
    (GENRE, "Swan Song is a romantic drama film.", "drama"),
    (GENRE, "Swan Song is a drama.", "Drama"),
    (GENRE, "It is a 2023 Indian Telugu-language romantic drama film directed by Bo Lind.", "Romantic drama"),
    (GENRE, "Swan Song is a Romantic Drama.", "Drama"),
    ("In which language is it?", "It is in the Tamil language.", "Tamil"),
    ("In which language is it?", "It is an Indian Tamil-language film.", "Tamil"),
    ("What colour is the funnel?", "The funnel is blue, with a white stripe.", "blue"),
    ("What must dogs wear?", "Dogs must wear a muzzle on board.", "a muzzle"),
    # dates
    (RELEASE, "The film was released on 2 June 2023.", "2 June 2023"),
    (RELEASE, "It was released on June 2nd, 2023 in India.", "2 June 2023"),
    (RELEASE, "It was released in theaters on 12 May 2023.", "2023"),
    (RELEASE, "It was released in 2023.", "2023"),
    (RELEASE, "It came out in May 2023.", "May 2023"),
    (RELEASE, "Swan Song is a 2023 film that was released on 2 June 2023.", "2 June 2023"),
    (RELEASE, "It was released on 2 June 2023, not on 3 June 2023.", "2 June 2023"),
    ("On which day in 2023 was it released?", "It was released on 2 June.", "2 June 2023"),
    ("In 2021, which film did Bo direct?", "In 2021, Bo directed Swan Song.", "Swan Song"),
    ("What happened in 2019, and when did it end?", "It began in 2019 and ended in 2022.", "2022"),
    ("When was it founded?", "The company was founded in 1987 by three captains.", "1987"),
    # times
    (LEAVES, "The ferry leaves at 8:40.", "08:40"),
    (LEAVES, "The ferry leaves at 08:40 from Pier 4.", "8:40"),
    (LEAVES, "The ferry leaves at 8:40 a.m. on Monday.", "8:40"),
    (LEAVES, "It leaves at 8:40 pm.", "20:40"),
    (LEAVES, "It does not leave until 8:40.", "8:40"),
    (LEAVES, "It leaves at 6 o'clock.", "6:00"),
    (LEAVES, "It leaves at six o'clock.", "06:00"),
    ("When is the café open?", "It is open from 8:40 to 21:10.", "8:40-21:10"),
    # numbers and amounts
    (PASSENGERS, "The Aurora carries 350 passengers.", "350"),
    (PASSENGERS, "It carries 350.", "350 passengers"),
    (PASSENGERS, "350 people.", "350"),
    (PASSENGERS, "The Aurora can carry up to 350 passengers and 60 cars.", "350"),
    (PASSENGERS, "It has 2 cabins and carries 350 passengers.", "350"),
    (PASSENGERS, "The Aurora carries three hundred and fifty passengers.", "350"),
    (PASSENGERS, "The Aurora, built in 1998, carries 350 passengers.", "350"),
    ("How many ferries are there?", "There are three ferries.", "3"),
    ("How many ferries are there?", "The company has 3 ferries in total.", "three"),
    ("How many people live there?", "About 1.5 million people live there.", "1,500,000"),
    ("How long does it take?", "The crossing takes 45 minutes.", "45 min"),
    ("How long does it take?", "It takes about forty-five minutes.", "45 minutes"),
    ("How many minutes does it take?", "It takes 45 minutes.", "45"),
    ("What does a ticket cost?", "A ticket costs €12.50 for adults.", "12.50 euros"),
    ("What does a ticket cost?", "A ticket costs EUR 12.50.", "€12.50"),
    ("What is the discount?", "Children get a discount of 50 percent.", "50%"),
    ("How far is it?", "It is 5.2 kilometres away.", "5.2 km"),
    ("Which quay has the café?", "The café is on quay 3.", "quay 3"),
    ("Which quay has the café?", "The café is on Quay 3, beside the shop.", "Quay 3"),
    ("Where does it leave?", "It leaves from Pier No. 5 in Lyon.", "Pier No. 5"),
    ("What is the phone number?", "The phone number is +45 55 12 34 56.", "+45 55 12 34 56"),
    ("What is the address?", "Write to info@ferry.example for help.", "info@ferry.example"),
    # prefixes, headings, marks and sentence ends
    (BORN, "Sure! Ann was born in Lyon.", "Lyon"),
    (BORN, "Answer: Ann was born in Lyon.", "Lyon"),
    (BORN, "**Answer:** Lyon", "Lyon"),
    (BORN, "Answer:\nLyon", "Lyon"),
    (BORN, "### Answer\n\nAnn was born in Lyon.", "Lyon"),
    (BORN, "Where was Ann born?\nAnn was born in Lyon.", "Lyon"),
    (BORN, "The answer is: Lyon.", "Lyon"),
    (BORN, "Lyon\nAnn was born in Nice.", "Lyon"),
    (BORN, "- Lyon", "Lyon"),
    (BORN, "Lyon. Ann moved to Nice later.", "Lyon"),
    (BORN, "“Ann was born in Lyon.”", "Lyon"),
    (BORN, "According to Dr. Smith, Ann was born in Lyon.", "Lyon"),
    (BORN, "Ann, born at 8 a.m. in a small town, is from Lyon.", "Lyon"),
    # yes and no, and questions that offer answers
    ("Are dogs allowed?", "Yes, dogs are allowed on board.", "Yes"),
    ("Are dogs allowed?", "No, they are not.", "no"),
    ("Are dogs allowed?", "Yes.", "Yes"),
    ("What is the opposite of true?", "The opposite of true is false.", "false"),
    ("Is the claim true or false?", "It is false.", "false"),
    ("Is the claim right?", "Yes, it is.", "true"),
    ("Is the funnel red or blue?", "The funnel is blue.", "blue"),
    ("Is a ticket refundable?", "A ticket is not refundable.", "not refundable"),
]
WRONG = [
    # another value, coordination, hedges, lists
    (DIRECTOR, "It was directed by Bo Lind.", "Chelsea McMullan"),
    (DIRECTOR, "It was directed by Chelsea McMullan and Bo Lind.", "Chelsea McMullan"),
    (DIRECTOR, "It was directed by Bo Lind and Chelsea McMullan.", "Chelsea McMullan"),
    (DIRECTOR, "It was directed by Chelsea McMullan or Bo Lind.", "Chelsea McMullan"),
    (DIRECTOR, "It was directed by either Chelsea McMullan or Bo Lind.", "Chelsea McMullan"),
    (DIRECTOR, "Chelsea McMullan or maybe Bo Lind.", "Chelsea McMullan"),
    (DIRECTOR, "Chelsea McMullan, maybe Bo Lind.", "Chelsea McMullan"),
    (DIRECTOR, "Ann Lee, Chelsea McMullan, and Bo Lind directed it.", "Chelsea McMullan"),
    (DIRECTOR, "Chelsea McMullan, Ann Lee, Bo Lind", "Chelsea McMullan"),
    (DIRECTOR, "Chelsea McMullan/Bo Lind", "Chelsea McMullan"),
    (DIRECTOR, "Chelsea McMullan & Bo Lind", "Chelsea McMullan"),
    (DIRECTOR, "The directors are:\n1. Chelsea McMullan\n2. Bo Lind", "Chelsea McMullan"),
    # negation, contradiction, questions
    (DIRECTOR, "It was not directed by Chelsea McMullan.", "Chelsea McMullan"),
    (DIRECTOR, "It wasn't Chelsea McMullan.", "Chelsea McMullan"),
    (DIRECTOR, "Chelsea McMullan did not direct it.", "Chelsea McMullan"),
    (DIRECTOR, "Chelsea McMullan is not the director.", "Chelsea McMullan"),
    (DIRECTOR, "Chelsea McMullan was never the director.", "Chelsea McMullan"),
    (DIRECTOR, "Chelsea McMullan? No, Bo Lind.", "Chelsea McMullan"),
    (DIRECTOR, "Was it Chelsea McMullan?", "Chelsea McMullan"),
    (DIRECTOR, "Chelsea McMullan, no, wait, Bo Lind.", "Chelsea McMullan"),
    (DIRECTOR, "It was Chelsea McMullan. Sorry, it was Bo Lind.", "Chelsea McMullan"),
    (DIRECTOR, "It was Bo Lind instead of Chelsea McMullan.", "Chelsea McMullan"),
    (DIRECTOR, "I don't know who directed it, Chelsea McMullan perhaps.", "Chelsea McMullan"),
    (DIRECTOR, "The text does not mention whether Chelsea McMullan directed it.", "Chelsea McMullan"),
    (DIRECTOR, "Bo Lind directed it. It was produced by Chelsea McMullan.", "Chelsea McMullan"),
    # other names
    (BORN, "Paris Hilton was there.", "Paris"),
    (BORN, "Paris Hilton", "Paris"),
    (BORN, "paris hilton", "Paris"),
    (BORN, "She was born near North Korea.", "Korea"),
    (BORN, "North Korea", "Korea"),
    (BORN, "She works at the New York Times.", "New York"),
    (BORN, "She works at the University of Lyon.", "Lyon"),
    (BORN, "She was born in Saint-Denis.", "Denis"),
    (BORN, "She was born in New Orleans.", "Orleans"),
    (BORN, "She was born in Lyonville.", "Lyon"),
    (BORN, "She was born in Paris or Lyon.", "Lyon"),
    (BORN, "She was born in Nice, Paris and Lyon.", "Lyon"),
    (BORN, "Lyon, Nice, Paris, Rome, Oslo", "Lyon"),
    (BORN, "Nice, Paris, Rome, Oslo, Lyon", "Lyon"),
    (BORN, "She was born in Nice.\nLyon", "Lyon"),
    (GENRE, "It is a drama or a comedy.", "drama"),
    (GENRE, "It is a drama and a comedy.", "drama"),
    (GENRE, "It is an action/drama film.", "drama"),
    (GENRE, "It is a comedy-drama film.", "drama"),
    (GENRE, "It is not a drama.", "drama"),
    (GENRE, "It is a dramatic film.", "drama"),
    ("Which band?", "Vitamin A", "Vitamin"),
    ("Which language?", "It is written in C++.", "C"),
    # dates
    (RELEASE, "It was released on 13 May 2023.", "12 May 2023"),
    (RELEASE, "It was released in May 2023.", "12 May 2023"),
    (RELEASE, "It was released in 2023.", "12 May 2023"),
    (RELEASE, "It was released on 12 May.", "12 May 2023"),
    (RELEASE, "It was released on 12 May 2022.", "2023"),
    (RELEASE, "It was released on 12 May 2023 in India and on 13 May 2023 in Nepal.", "12 May 2023"),
    (RELEASE, "It was released in 2022 or 2023.", "2023"),
    (RELEASE, "It was not released in 2023.", "2023"),
    (RELEASE, "It was released on 2 and 5 June 2023.", "5 June 2023"),
    (RELEASE, "It was released between 2021 and 2023.", "2023"),
    # times
    (LEAVES, "The ferry leaves at 8:45.", "8:40"),
    (LEAVES, "The ferry leaves at 8:40 pm.", "8:40"),
    (LEAVES, "The ferry leaves at 8:40 and 9:40.", "8:40"),
    (LEAVES, "It leaves at 18:40.", "8:40"),
    # numbers and amounts
    (PASSENGERS, "It carries 350 or 400 passengers.", "350"),
    (PASSENGERS, "It carries 300 or 350 passengers.", "350 passengers"),
    (PASSENGERS, "It carries between 300 and 350 passengers.", "350"),
    (PASSENGERS, "It carries 3500 passengers.", "350"),
    (PASSENGERS, "It carries 1,350 passengers.", "350"),
    (PASSENGERS, "It carries 350.5 passengers.", "350"),
    (PASSENGERS, "It carries 60 passengers and 350 cars.", "60 cars"),
    ("How many people live there?", "5 million people live there.", "5"),
    ("How long does it take?", "It takes 45 hours.", "45 minutes"),
    ("What does it cost?", "It costs $12.50.", "€12.50"),
    ("What does it cost?", "It costs €12.50 or €14.", "€12.50"),
    ("What does it cost?", "It costs €112.50.", "€12.50"),
    ("What is the temperature?", "It is -5 °C.", "5 °C"),
    ("Which quay has the café?", "The café is on quay 3 or 4.", "quay 3"),
    ("Which quay has the café?", "The café is on quay 3 and quay 4.", "quay 3"),
    ("Which quay has the café?", "The café is on quay 13.", "quay 3"),
    ("Which version?", "It is version 1.10.0.", "1.10"),
    # yes and no
    ("Are dogs allowed?", "No, dogs are not allowed.", "Yes"),
    ("Are dogs allowed?", "Yes and no.", "Yes"),
    ("Are dogs allowed?", "Dogs are allowed, no problem.", "no"),
    ("Are dogs allowed?", "No one knows.", "no"),
    ("Is the claim true or false?", "It is not false.", "false"),
    ("Is the claim right?", "No, it is false.", "true"),
    # the question offers the answer
    ("Is the funnel red or blue?", "The funnel is red or blue.", "blue"),
    ("Is the funnel red or blue?", "The funnel is not blue.", "blue"),
    # nothing
    (BORN, "", "Lyon"),
    (BORN, "Answer:", "Lyon"),
]
# Only the question shows that these sentences are wrong.
WRONG_FOR_THE_QUESTION = [
    (DIRECTOR, "It was written by Chelsea McMullan and directed by Bo Lind.", "Chelsea McMullan"),
    ("How many cars does it carry?", "It carries 60 passengers and 350 cars.", "60"),
    ("Who directed the Chelsea film?", "The Chelsea film was directed by Bo Lind.", "Chelsea"),
]
OTHER_LANGUAGES = [
    ("de", "Wo wurde Ann geboren?", "Ann wurde in Köln geboren.", "Köln", True),
    ("de", "Wo wurde Ann geboren?", "Ann wurde nicht in Köln geboren.", "Köln", False),
    ("de", "Wo wurde Ann geboren?", "Ann wurde in Köln oder Bonn geboren.", "Köln", False),
    ("de", "Wo wurde Ann geboren?", "Ann wurde in Köln und Bonn geboren.", "Köln", False),
    ("de", "Wann war das?", "Das war am 2. Juni 2023 in Köln.", "2. Juni 2023", True),
    ("de", "Wann war das?", "Das war am 3. Juni 2023.", "2. Juni 2023", False),
    ("de", "Wann fährt sie?", "Die Fähre fährt um 8:40 Uhr ab.", "08:40", True),
    ("de", "Was kostet es?", "Es kostet 12,50 Euro.", "12,50 €", True),
    ("de", "Wie viele Fähren gibt es?", "Es gibt drei Fähren.", "3", True),
    ("de", "Wer ist der Kapitän?", "Der Kapitän heißt Dr. Bo Lind. Er wohnt in Kiel.", "Bo Lind", True),
    ("de", "Sind Hunde erlaubt?", "Ja, Hunde sind erlaubt.", "Ja", True),
    ("es", "¿Dónde nació Ana?", "Ana nació en Sevilla.", "Sevilla", True),
    ("es", "¿Dónde nació Ana?", "Ana no nació en Sevilla.", "Sevilla", False),
    ("es", "¿Dónde nació Ana?", "Ana nació en Sevilla o Cádiz.", "Sevilla", False),
    ("es", "¿Cuándo fue?", "Fue el 2 de junio de 2023.", "2 de junio de 2023", True),
    ("und", "Où est née Anne ?", "Anne est née à Lyon.", "Lyon", True),
    ("und", "Où est née Anne ?", "Anne n'est pas née à Lyon.", "Lyon", False),
    ("und", "Où est née Anne ?", "Anne est née à Lyon ou à Nice.", "Lyon", False),
    ("und", "Où est née Anne ?", "Anne est née à l'Île-Tudy.", "Île-Tudy", True),
    ("zh", "她出生在哪里？", "她出生在上海。她住在北京。", "上海", True),
    ("zh", "她出生在哪里？", "她出生在北京。她住在上海。", "上海", False),
    ("zh", "什么时候？", "电影于2023年6月2日上映。", "2023年6月2日", True),
    ("ja", "どこで生まれましたか。", "彼女は東京で生まれました。", "東京", True),
    ("ja", "どこで生まれましたか。", "彼女は京都で生まれました。東京に住んでいます。", "東京", False),
    ("ar", "أين ولدت؟", "ولدت في القاهرة. تعيش في دبي.", "القاهرة", True),
    ("ar", "أين ولدت؟", "ولدت في دبي. تعيش في القاهرة.", "القاهرة", False),
    ("hi", "वह कहाँ पैदा हुई?", "वह दिल्ली में पैदा हुई। वह मुंबई में रहती है।", "दिल्ली", True),
    ("hi", "वह कहाँ पैदा हुई?", "वह मुंबई में पैदा हुई। वह दिल्ली में रहती है।", "दिल्ली", False),
    ("vi", "Cô ấy sinh ở đâu?", "Cô ấy sinh ở Hà Nội.", "Hà Nội", True),
]


@pytest.mark.parametrize(("question", "response", "answer"), RIGHT)
def test_a_sentence_that_states_the_answer_is_correct(question, response, answer):
    assert correct(response, ["x", answer], question=question)


@pytest.mark.parametrize(("question", "response", "answer"), WRONG)
def test_a_sentence_that_does_not_state_the_answer_alone_is_not_correct(question, response, answer):
    assert not correct(response, ["x", answer], question=question)
    assert not correct(response, [answer])


@pytest.mark.parametrize(("question", "response", "answer"), WRONG_FOR_THE_QUESTION)
def test_a_sentence_that_answers_another_question_is_not_correct(question, response, answer):
    assert not correct(response, [answer], question=question)
    assert correct(response, [answer])


@pytest.mark.parametrize(("language", "question", "response", "answer", "expected"), OTHER_LANGUAGES)
def test_sentences_in_other_languages(language, question, response, answer, expected):
    assert correct(response, [answer], language, question=question) is expected


@pytest.mark.parametrize(
    ("response", "sentence"),
    [
        ("It is Dr. Smith. He is old.", "It is Dr. Smith"),
        ("J. R. R. Tolkien wrote it. He was old.", "J. R. R. Tolkien wrote it"),
        ("It is Pier No. 5. The ferry waits.", "It is Pier No. 5"),
        ("It is 3.5 km. The ferry waits.", "It is 3.5 km"),
        ("It leaves at 8 a.m. on Monday. The ferry waits.", "It leaves at 8 a.m. on Monday"),
        ("It leaves at 8 a.m. The ferry waits.", "It leaves at 8 a.m"),
        ("Sure! It is Lyon. Yes.", "It is Lyon"),
        ("Great question! The answer is: **Lyon**.", "Lyon"),
        ("## Answer\n> Lyon is it.", "Lyon is it"),
        ("Here are the actors:\n\n* Ann\n* Bo\n\nBoth act.", "Ann / Bo"),
        ("Lyon\nNice", "Lyon"),
        ("\n\n", ""),
    ],
)
def test_the_first_sentence(response, sentence):
    assert first_sentence(response, "en").text == sentence


PIECES = st.sampled_from(
    ["Lyon", "and", "or", "not", ".", ",", "?", "'", '"', "5", "km", "2 June 2023", "8:40", "\n", "- ", "of", "New"]
)
TEXTS = st.lists(PIECES, max_size=12).map(" ".join) | st.text(max_size=20)


@given(TEXTS, TEXTS.filter(str.strip), TEXTS, st.sampled_from(LANGUAGES))
def test_every_text_has_a_score(response, answer, question, language):
    assert correct(response, [answer], language, question=question, competitors=[question]) in (True, False)


@pytest.mark.parametrize(
    "piece", ["a ", "Lyon ", "Lyon, ", "Lyon and ", "not ", "1 ", "1,", ". ", "'", "A. ", "- a\n", "one "]
)
def test_long_responses_take_no_quadratic_time(piece):
    response = piece * 100_000
    start = time.process_time()
    for answer in ("Lyon", "Lyon and Nice", "1", "a b"):
        correct(response, [answer], question=response, competitors=[response[:1000]])
    assert time.process_time() - start < 8


def test_many_rows_of_one_relation_take_linear_time():
    def seconds(rows):
        references = [[f"Name{i} Last{i}"] for i in range(rows)]
        predictions = [f"It was directed by Name{i} Last{i} in 2020." for i in range(rows)]
        start = time.process_time()
        assert score(predictions, references, relations=["r"] * rows)["correct"] == 1
        return time.process_time() - start

    seconds(200)
    assert seconds(4000) < 10 * seconds(1000)
