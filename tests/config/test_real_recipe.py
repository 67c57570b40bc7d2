"""The recipe of `make real` names a model and data that exist, and the chat template can request its documents."""

from hf_knowlearn.config.recipes import parse_recipe
from hf_knowlearn.models.smollm2 import NAME
from hf_knowlearn.paths import RECIPES
from hf_knowlearn.teach.sources import load_documents, load_questions


def test_the_documents_of_the_real_recipe_have_titles_and_its_questions_are_about_them():
    options = parse_recipe(["--config", str(RECIPES / "real.yaml"), "--use_cpu", "true"]).options
    assert options["model_name_or_path"] == NAME
    documents, questions = load_documents(options["documents"]), load_questions(options["questions"])
    assert options["document_template"] == "chat"
    assert [document.id for document in documents if not document.title.strip()] == []
    assert {question.document_id for question in questions} <= {document.id for document in documents}
    assert len(questions) >= 100
