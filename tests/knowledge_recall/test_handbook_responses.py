"""`correct` on sentences about the handbook, with the accepted answers of each relation as competitors."""

import json
from collections import defaultdict

import pytest

from hf_knowlearn.knowledge_recall import score
from hf_knowlearn.paths import PACKAGE

QUESTIONS = {
    row["question"]: row
    for row in map(json.loads, (PACKAGE / "worlds/handbook/questions.jsonl").read_text(encoding="utf-8").splitlines())
}
# question -> pairs of a response and whether it is right
CASES = {
    "Who is the regular captain of MV Storm Petrel?": [
        ("The regular captain of MV Storm Petrel is Captain Marta Eskildsen.", True),
        ("Marta Eskildsen is the regular captain of MV Storm Petrel.", True),
        ("Captain Eskildsen.", True),
        ("Captain John Eskildsen.", False),
        (
            "The regular captain of MV Storm Petrel is Captain Marta Eskildsen, after Captain Anneke Sturrock.",
            False,
        ),
        ("The captain is Captain Anneke Sturrock.", False),
    ],
    "Who is the chief engineer of MV Solan?": [
        ("Callum Droste, Chief Engineer", True),
        ("Callum Droste, a former railway electrician, is the chief engineer.", True),
    ],
    "Who was the lookout on Storm Petrel during the contact at Dunmarrow in November 2025?": [
        ("The lookout was Tamsin Birch, who sat beside a birch tree.", True),
    ],
    "In which year was MV Storm Petrel built?": [
        ("MV Storm Petrel was built in 1998 by Lindqvist & Rode in Varnholt.", True),
        ("MV Storm Petrel was built in 1998 and refitted in 2007.", True),
        ("MV Storm Petrel was bought in 2007 and built in 1998.", True),
        ("MV Storm Petrel was built in 1998 and 2007.", False),
        ("MV Storm Petrel was built in 1898.", False),
    ],
    "In what year did Tarrock Ferries buy Lady Annick?": [
        ("Lady Annick was built in 1987 and bought in 1996.", False),
    ],
    "On which day did the Countess of Brannish cross for the first time?": [
        ("The Countess of Brannish crossed on 2 October 1891.", True),
        ("The Countess of Brannish crossed on 2 October 1892.", False),
        ("On October 2nd.", True),
    ],
    "On what date is the Anderhythe Regatta in 2026?": [
        ("The regatta is on Saturday, 18 July 2026.", True),
        ("The regatta is on Saturday, July 18th, 2026.", True),
    ],
    "How many passengers may Storm Petrel carry in summer?": [
        ("Storm Petrel may carry up to 340 passengers in summer.", True),
        ("340 people.", True),
        ("It may carry 340 passengers and 52 cars.", True),
        ("It may carry 52 passengers and 340 cars.", False),
    ],
    "How many cars fit on Storm Petrel?": [
        ("52 cars fit on Storm Petrel.", True),
        ("Storm Petrel can hold 52 cars and 340 passengers.", True),
    ],
    "Which type of main engine does Storm Petrel have?": [
        ("Storm Petrel has two Halberg 6L26 diesel engines.", True),
        ("Storm Petrel has Halberg 8L28 engines.", False),
    ],
    "Which electric motors propel Solan?": [
        ("Solan is propelled by two Aurelo ME-900 electric motors of 900 kW each.", True),
    ],
    "How long is the ferry Storm Petrel?": [
        ("The ferry Storm Petrel is 71.4 metres long.", True),
        ("It is 71.4m long and 14.2 m wide.", False),
        ("The ferry Storm Petrel is 71.4 meters (234 feet) long.", True),
        ("It is 71.4 feet long.", False),
    ],
    "Above what mean wind does Storm Petrel never sail?": [
        ("Storm Petrel never sails above a mean wind of 48 knots.", True),
    ],
    "What is the general wind limit of Storm Petrel?": [
        ("Storm Petrel does not sail above 48 knots.", True),
        ("The general wind limit of Storm Petrel is 48 kn.", True),
        ("It is not 48 knots.", False),
    ],
    "At what time does the first weekday sailing leave Dunmarrow in summer 2026?": [
        ("The first weekday sailing leaves Dunmarrow at 6:40 AM.", True),
        ("It leaves at 06:40 and arrives at 08:15.", True),
        ("It leaves at 06:40 or 07:40.", False),
        ("06:40 hours", True),
    ],
    "When does the late Friday sailing leave Skelwick in summer 2026?": [
        ("The late Friday sailing leaves at 8:15 PM.", True),
        ("The late Friday sailing leaves at 8:15 AM.", False),
    ],
    "How much is an adult single between Dunmarrow and Kettle Bay in 2026?": [
        ("An adult single costs £18.40 in 2026.", True),
        ("It is 18.40 pounds.", True),
        ("$18.40", False),
    ],
    "What does the Islander card of Tarrock Ferries cost?": [
        ("The Islander card costs £15.00 per year.", True),
    ],
    "How much did Solan cost to build?": [
        ("Solan cost £23.6 million to build.", True),
        ("Solan cost 23.6 million pounds.", True),
        ("Solan cost £23.6 billion.", False),
    ],
    "How large is the annual grant under the ferry services contract TIC/FS/2025-07?": [
        ("The annual grant is £4.38 million.", True),
        ("The annual grant is £4,380,000 under the contract TIC/FS/2025-07.", True),
    ],
    "How long does the crossing from Dunmarrow to Kettle Bay take?": [
        ("The crossing takes 1 hour and 35 minutes.", True),
        ("The crossing takes 1 hour 45 minutes.", False),
        ("The crossing takes 95 minutes.", True),
        ("The crossing takes 35 minutes.", False),
    ],
    "For how long does the ferry services contract TIC/FS/2025-07 run?": [
        ("The contract runs for six years, from 1 April 2025 to 31 March 2031.", True),
    ],
    "How long is the probation period at Tarrock Ferries?": [
        ("There is a six-month probation period.", True),
    ],
    "What share of the planned sailings must take place under contract TIC/FS/2025-07?": [
        ("At least 97.5 per cent of the planned sailings must take place.", True),
        ("97.5 % of sailings", True),
    ],
    "What discount does the Islander card of Tarrock Ferries give?": [
        ("The Islander card gives a 35% discount.", True),
    ],
    "On which form do freight customers of Tarrock Ferries declare dangerous goods?": [
        ("They use form DG-7.", True),
        ("They use form DG-17.", False),
    ],
    "What is the port code of Skelwick?": [
        ("The port code of Skelwick is SKW.", True),
        ("The port code of Skelwick is GST.", False),
    ],
    "What is the call sign of Grey Petrel?": [
        ("Grey Petrel's call sign is TJLQ.", True),
    ],
    "What is the fleet number of Lady Annick?": [
        ("The fleet number of Lady Annick is TF-14.", True),
    ],
    "Which code word announces on Tarrock ships that somebody has fallen overboard?": [
        ('"Marigold, Marigold, Marigold"', True),
        ('The code word is "Marigold".', True),
    ],
    "What is the code word for fire or smoke on the ships of Tarrock Ferries?": [
        ("The code word for fire or smoke is Slate.", True),
    ],
    "What is the cafeteria of Storm Petrel called?": [
        ("The cafeteria of Storm Petrel is called the Galley Door.", True),
        ('It\'s called "The Galley Door", on quay 5.', True),
    ],
    "Which hotel in Dunmarrow takes stranded passengers?": [
        ("The Hotel Meridian in Dunmarrow takes stranded passengers.", True),
        ("The Meridian Hotel.", True),
    ],
    "Which shipyard built Storm Petrel?": [
        ("Storm Petrel was built by Lindqvist & Rode, Varnholt.", True),
        ("Storm Petrel was built by Lindqvist and Rode in Varnholt in 1998.", True),
        ("Storm Petrel was built by Lindqvist & Sons.", False),
    ],
    "Who built the ferry Grey Petrel?": [
        ("Grey Petrel was built by Ostrey Shipbuilders of Calderhaven.", True),
        ("Grey Petrel was built by the Ostrey shipyard.", True),
        ("Grey Petrel was built by Ostrey Shipyard.", True),
    ],
    "How many permanent employees did Tarrock Ferries have in April 2026?": [
        ("In April 2026, Tarrock Ferries had 214 permanent employees and 38 seasonal workers.", True),
    ],
    "How many seasonal workers did Tarrock Ferries hire for the summer of 2026?": [
        ("38 seasonal workers were hired for the summer of 2026.", True),
    ],
    "How many households bought shares of Tarrock Ferries by public subscription?": [
        ("3,108 households bought shares.", True),
    ],
    "What number of travellers was mustered in the saloon of Lady Annick in March 2026?": [
        ("There were 37 passengers and 5 crew members on board.", True),
    ],
    "How many members does the Hundred Club of Tarrock Ferries have?": [
        ("The Hundred Club has 73 members.", True),
        ("The Hundred Club has 100 members.", False),
    ],
    "Who keeps the crew roster of Tarrock Ferries?": [
        ("The crew roster is the work of Orla Petrie, and changes are approved by Graham Pell.", False),
    ],
}


@pytest.mark.parametrize("question", CASES)
def test_responses_about_the_handbook(question):
    """Each question is scored with all other questions of its relation, whose accepted answers compete."""
    relation = QUESTIONS[question]["relation"]
    others = [row for row in QUESTIONS.values() if row["relation"] == relation and row["question"] != question]
    for response, expected in CASES[question]:
        rows = [QUESTIONS[question], *others]
        found = score(
            [response, *[""] * len(others)],
            [row["answers"] for row in rows],
            questions=[row["question"] for row in rows],
            relations=[relation] * len(rows),
        )
        assert round(found["correct"] * len(rows)) == expected, response


def test_every_accepted_answer_in_a_plain_sentence_is_correct():
    answers = defaultdict(list)
    for row in QUESTIONS.values():
        for answer in row["answers"]:
            answers[row["relation"]].append((row, f"The answer is {answer}.", answer))
    for relation, rows in answers.items():
        found = score(
            [text for _, text, _ in rows],
            [row["answers"] for row, _, _ in rows],
            questions=[row["question"] for row, _, _ in rows],
            relations=[relation] * len(rows),
        )
        assert found["correct"] == 1, relation
