"""Computes every score of a report again, from the answers in the run folder, and prints each difference.

    python benchmarks/recompute_report.py outputs/mine

This script shares no code with the package except the rules of `correct`, which decide whether a response is correct.
It computes means, standard errors and all other scores on its own, for runs in English. The exit code is 1 if a score
differs by more than 1e-9 or cannot be computed, and otherwise 0. Losses, costs and editing scores are left out,
because the run folder does not contain their tokens and times. So is the number of shortened prompts of retrieval.
"""

import json
import math
import re
import string
import sys
import tomllib
from collections import Counter, defaultdict
from pathlib import Path

import numpy as np

from hf_knowlearn.knowledge_recall import correct
from hf_knowlearn.knowledge_recall.correctness import answer_key

TOLERANCE = 1e-9
ROLES = {"replayed_questions": "replayed", "retention_questions": "retention"}
LEFT_OUT = {
    "train_loss",
    "steps",
    "gradient_evaluations",
    "seconds",
    "cost",
    "curve",
    "early_stop",
    "editing",
    "shortened",
}
GENERAL = Path(__file__).parents[1] / "hf_knowlearn" / "evaluation" / "general_knowledge.toml"
ABSTENTIONS = set(
    "i dont know|i do not know|i dont know answer|i do not know answer|sorry i dont know|im not sure|i am not sure"
    "|not sure|i have no idea|no idea|i cant answer|i cannot answer|no answer|not known|unknown|unanswerable|na".split(
        "|"
    )
)


def lines(path):
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()] if path.is_file() else []


# Means and standard errors


def mean_and_error(values, clusters=None):
    """The mean, and its standard error over independent clusters; by default, every value is a cluster."""
    values = np.asarray(values, float)
    if clusters is None:
        clusters = range(len(values))
    if len(values) == 1:
        return values[0], 0.0
    sums = defaultdict(float)
    for cluster, residual in zip(clusters, values - values.mean(), strict=True):
        sums[cluster] += residual
    n = len(sums)
    squares = sum(total**2 for total in sums.values())
    return values.mean(), math.sqrt(n / (n - 1) * squares) / len(values) if n > 1 else math.nan


def share_and_error(values, clusters=None):
    """The same for a share, whose error over independent questions is binomial."""
    if clusters is not None:
        return mean_and_error(values, clusters)
    share = np.mean(np.asarray(values, float))
    return share, math.sqrt(share * (1 - share) / len(values))


def column(rows, name):
    """A column that all rows have with different values, or None."""
    values = [row.get(name) for row in rows]
    return None if None in values or len({*values}) < 2 else values


def named(name, pair):
    value, error = pair
    return {name: value, f"{name}_se": error}


# Scores of responses


def squad(text):
    """Normalisation of SQuAD's script."""
    text = "".join(sign for sign in text.lower() if sign not in string.punctuation)
    return " ".join(re.sub(r"\b(a|an|the)\b", " ", text).split())


def line_of(text):
    return next((line.strip() for line in text.strip().splitlines() if line.strip()), "")


def f1(text, answer):
    words, accepted = squad(text).split(), squad(answer).split()
    same = sum((Counter(words) & Counter(accepted)).values())
    return 2 * same / (len(words) + len(accepted)) if same else 0.0


def is_right(row, rows):
    """Whether a response is correct. The accepted answers of its relation compete with the answer."""
    competitors = []
    if all(each.get("relation") for each in rows):
        competitors = [answer for each in rows if each["relation"] == row["relation"] for answer in each["answers"]]
    return correct(row["response"], row["answers"], question=row["question"], competitors=competitors)


def row_scores(row, rows):
    response, answers = row["response"], row["answers"]
    first, right = squad(line_of(response)), is_right(row, rows)
    abstains = first.replace("\u2019", "") in ABSTENTIONS or not first
    return {
        "correct": right,
        "exact_match": any(first == squad(answer) for answer in answers),
        "f1": max(f1(line_of(response), answer) for answer in answers),
        "contains": any(squad(answer) and f" {squad(answer)} " in f" {squad(response)} " for answer in answers),
        "abstention": abstains and not right,
        "wrong": not abstains and not right,
        "stopped": row["ended"] in ("line", "turn", "text"),
        "end_of_turn": row["ended"] == "turn",
    }


def scores_of(rows):
    """The scores of a set of questions."""
    clusters, facts = column(rows, "document_id"), [row.get("fact_id") for row in rows]
    of_rows = [row_scores(row, rows) for row in rows]
    found = summary(of_rows, clusters)
    found["mean_answer_words"] = np.mean([len(row["response"].split()) for row in rows])
    if None not in facts and len({*facts}) < len(facts):
        found |= consistency(of_rows, facts, clusters)
    if clusters is not None:
        found["n_documents"] = len({*clusters})
    if (relations := column(rows, "relation")) is not None:
        found["by_relation"] = {
            relation: by_relation(rows, of_rows, clusters, [i for i, own in enumerate(relations) if own == relation])
            for relation in sorted({*relations})
        }
    return found


def summary(of_rows, clusters):
    found = {}
    for name in of_rows[0]:
        values = [scores[name] for scores in of_rows]
        found |= named(name, (mean_and_error if name == "f1" else share_and_error)(values, clusters))
    return found


def by_relation(rows, of_rows, clusters, places):
    own = None if clusters is None else [clusters[i] for i in places]
    found = summary([of_rows[i] for i in places], own)
    found = {name: value for name, value in found.items() if not name.startswith(("stopped", "end_of_turn"))}
    found["mean_answer_words"] = np.mean([len(rows[i]["response"].split()) for i in places])
    return {**found, "n": len(places), **({} if own is None else {"n_documents": len({*own})})}


def consistency(of_rows, facts, clusters):
    places = defaultdict(list)
    for i, fact in enumerate(facts):
        places[fact].append(i)
    right = [np.mean([of_rows[i]["correct"] for i in own]) for own in places.values()]
    of_facts = None if clusters is None else [clusters[own[0]] for own in places.values()]
    shares = {"consistency_all": [share == 1 for share in right], "consistency_most": [share > 0.5 for share in right]}
    found = {
        key: value
        for name, own in shares.items()
        for key, value in named(name, share_and_error(own, of_facts)).items()
    }
    return {**found, "n_facts": len(places)}


# Guessing


def type_of(row):
    if row.get("relation"):
        return row["relation"]
    words = re.findall(r"\w+", row["question"].lower())
    found = [word for word in words if word in "who whom whose when where why which what how".split()]
    if not found:
        return " ".join(words[:2])
    if found[0] not in ("which", "what", "how"):
        return found[0]
    after = words[words.index(found[0]) + 1 :]
    nouns = [word for word in after if word not in "a an the is are was were do does did has have had".split()]
    return " ".join([found[0].replace("which", "what"), *nouns[:1]])


def guessing(rows):
    """The share of questions whose answer is the most common answer of their type, if it occurs in two facts."""
    key, spelling = answer_key("en"), {}
    pairs = defaultdict(set)  # type -> (answer, fact)
    for row in rows:
        for answer in row["answers"]:
            spelling.setdefault(key(answer), answer)
            pairs[type_of(row)].add((key(answer), row.get("fact_id") or row["id"]))
    counts = {kind: Counter(answer for answer, _ in of_type) for kind, of_type in pairs.items()}
    order = list(spelling)  # of equally common answers, the first one
    best = {
        kind: max(of_type, key=lambda answer: (of_type[answer], -order.index(answer)))
        for kind, of_type in counts.items()
    }
    right = []
    for row in rows:
        guess = best[type_of(row)]
        right.append(counts[type_of(row)][guess] > 1 and correct(spelling[guess], row["answers"]))
    return {**named("correct", share_and_error(right, column(rows, "document_id"))), "n": len(rows)}


# Figures of a state of the model


def figures(folder, when, chosen):
    """The figures before or after training. `chosen` are the ids of the retention questions."""
    rows = defaultdict(list)
    for row in lines(folder / f"answers.{when}.jsonl"):
        if row["role"] != "retention_questions" or row["id"] in chosen:
            rows[row["role"]].append(row)
    found = scores_of(rows["questions"]) if rows["questions"] else {}
    if rows["questions"]:
        clusters = column(rows["questions"], "document_id")
        logprobs = [row["answer_logprob"] for row in rows["questions"]]
        found |= named("answer_logprob", mean_and_error(logprobs, clusters))
    for role, name in ROLES.items():
        if rows[role]:
            scores = scores_of(rows[role])
            found |= {name: scores["correct"], f"{name}_se": scores["correct_se"]}
    relations = {name for name, of in tomllib.loads(GENERAL.read_text(encoding="utf-8")).items() if not of["replayed"]}
    general = [row for row in rows["retention_questions"] if row["id"].startswith("general-")]
    untouched = [row for row in general if row["relation"] in relations]
    if untouched:
        scores = scores_of(untouched)
        found |= named("retention_untouched", (scores["correct"], scores["correct_se"]))
        found["retention_untouched_n"] = len(untouched)
    if chat := lines(folder / f"chat.{when}.jsonl"):
        found["chat"] = {"n": len(chat)}
        for name in ("fulfilled", "ended"):
            found["chat"] |= named(name, mean_and_error([row[name] for row in chat]))
    if texts := lines(folder / f"perplexity.{when}.jsonl"):
        found["perplexity"] = perplexity(texts)
    if parts := lines(folder / f"knowledge_tokens.{when}.jsonl"):
        found["knowledge_tokens"] = knowledge_tokens(parts)
    if classes := lines(folder / f"mastery.{when}.jsonl"):
        found["mastery"] = {"n": len(classes), "counts": Counter(row["category"] for row in classes)}
    book = lines(folder / ("answers.open_book.jsonl" if when == "before" else "answers.open_book_after.jsonl"))
    if book:
        scores = scores_of(book)
        found |= named("open_book", (scores["correct"], scores["correct_se"]))
    return found


def ratio(totals, counts):
    """The mean over tokens with its standard error clustered by text."""
    totals, counts = np.asarray(totals, float), np.asarray(counts, float)
    mean, n = totals.sum() / counts.sum(), len(totals)
    return mean, math.sqrt(n / (n - 1) * ((totals - mean * counts) ** 2).sum()) / counts.sum() if n > 1 else math.nan


def knowledge_tokens(parts):
    """The mean probability of the tokens of each document, and its mean over documents."""
    documents = defaultdict(list)
    for part in parts:
        documents[part["document_id"]].append(part)
    known = [own for own in documents.values() if any(part["tokens"] for part in own)]
    found = {"documents": len(known), "tokens": sum(part["tokens"] for part in parts)}
    found["without_views"] = sum(all(part["views"] == 0 for part in own) for own in documents.values())
    found["without_facts"] = len(documents) - len(known) - found["without_views"]
    for name in ("probability", "logprob") if known else ():
        weights = [[part["tokens"] for part in own if part["tokens"]] for own in known]
        values = [[part[name] for part in own if part["tokens"]] for own in known]
        found |= named(
            name, mean_and_error([np.average(own, weights=n) for own, n in zip(values, weights, strict=True)])
        )
    return found


def perplexity(texts):
    mean, error = ratio([row["nll"] for row in texts], [row["tokens"] for row in texts])
    found = {**named("nll", (mean, error)), **named("perplexity", (math.exp(mean), math.exp(mean) * error))}
    return {**found, "tokens": sum(row["tokens"] for row in texts), "texts": len(texts)}


def retrieval(rows, after):
    """The figures of retrieval, and the paired difference of the fine-tuned model from it."""
    found = scores_of(rows)
    clusters = [row.get("document_id") or row["id"] for row in rows]
    found |= named("found", mean_and_error([row["found"] for row in rows], clusters))
    if all(row.get("document_id") for row in rows):
        own = [any(passage["document_id"] == row["document_id"] for passage in row["passages"]) for row in rows]
        found |= named("document_found", mean_and_error(own, clusters))
    found["passages"] = np.mean([len(row["passages"]) for row in rows])
    if all("prompt_tokens" in row for row in rows):
        found["prompt_tokens"] = np.mean([row["prompt_tokens"] for row in rows])
    right = [{row["id"]: is_right(row, of) for row in of} for of in (rows, after)]
    difference = [float(right[1][row["id"]]) - float(right[0][row["id"]]) for row in rows]
    return found, mean_and_error(difference, clusters)


def transitions(before, after):
    kinds = {(False, True): "learned", (True, True): "retained", (True, False): "forgotten", (False, False): "never"}
    was = {row["id"]: row for row in before}
    first = [was[row["id"]] for row in after]
    moves = Counter(kinds[is_right(old, first), is_right(new, after)] for old, new in zip(first, after, strict=True))
    return {kind: moves[kind] for kind in kinds.values()}


def flow(before, after):
    """The number of questions for each class before and each class after training."""
    was = {row["question_id"]: row["category"] for row in before}
    moves = Counter((was[row["question_id"]], row["category"]) for row in after)
    classes = ("HighlyKnown", "MaybeKnown", "WeaklyKnown", "Unknown")
    return {old: {new: moves[old, new] for new in classes} for old in classes}


def recomputed(folder):
    """Every score of the report that stored answers determine, as nested dictionaries like those of the report."""
    answers = {when: lines(folder / f"answers.{when}.jsonl") for when in ("before", "after")}
    of_role = {
        when: {role: [row for row in rows if row["role"] == role] for role in ("questions", *ROLES)}
        for when, rows in answers.items()
    }
    chosen = {row["id"] for row in of_role["after"]["retention_questions"]}
    found = {"before": figures(folder, "before", chosen), "after": figures(folder, "after", chosen)}
    found["after"]["transitions"] = {
        role: transitions(of_role["before"][role], rows) for role, rows in of_role["after"].items() if rows
    }
    if texts := lines(folder / "drift.jsonl"):
        tokens = [row["tokens"] for row in texts]
        drift = named("kl", ratio([row["kl"] for row in texts], tokens))
        found["after"]["drift"] = {**drift, "tokens": sum(tokens), "texts": len(texts)}
    classes = [lines(folder / f"mastery.{when}.jsonl") for when in ("before", "after")]
    if all(classes):
        found["after"]["mastery"]["flow"] = flow(*classes)
    if questions := of_role["after"]["questions"]:
        found["guessing"] = guessing(questions)
    if book := lines(folder / "answers.open_book.jsonl"):
        found["open_book"] = scores_of(book)
    for k in (1, 3):
        if rows := lines(folder / f"answers.rag_{k}.jsonl"):
            scores, difference = retrieval(rows, of_role["after"]["questions"])
            found.setdefault("retrieval", {})[f"top_{k}"] = scores
            found["after"].setdefault("over_retrieval", {}).update(named(f"top_{k}", difference))
    return found


# The comparison


def numbers(value, path=()):
    """Each number of nested dictionaries, with its path. Texts and lists have no scores."""
    if isinstance(value, dict):
        for name, item in value.items():
            yield from numbers(item, (*path, name))
    elif isinstance(value, int | float | np.floating):
        yield path, float(value)


def compare(report, found):
    """The paths of the scores that differ, and of the scores of the report that cannot be computed again."""
    (run,) = report["runs"].values()
    stated = {"before": report["before"], "after": run}
    stated |= {name: report[name] for name in ("guessing", "open_book", "retrieval") if name in report}
    here = dict(numbers(found))
    for path, value in numbers(stated):
        if LEFT_OUT & {*path}:
            continue
        if path not in here:
            yield path, value, None
        elif not (math.isclose(value, here[path], rel_tol=TOLERANCE, abs_tol=TOLERANCE)):
            yield path, value, here[path]


def main(arguments):
    folder = Path(arguments[0])
    report = json.loads((folder / "report.json").read_text(encoding="utf-8"))
    found = recomputed(folder)
    differences = list(compare(report, found))
    for path, stated, here in differences:
        print(f"{'.'.join(path)}: {stated!r} in the report, {'not computed' if here is None else repr(here)} here")
    print(f"{len(list(numbers(found)))} figures computed, {len(differences)} differences")
    return 1 if differences else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
