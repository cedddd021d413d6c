"""`texts` -> what teachers begin as, pretrained by steps on the training days: rows of `models`."""

from __future__ import annotations

from jobs.lake import tables, text_queries
from jobs.runtime.context import Context
from jobs.runtime.job import Done, Job, Work
from jobs.teachers.base_making import Pretraining, all_scenes, make_base
from jobs.teachers.base_model import given_base, recorded_bases


def plan(context: Context) -> Work[tuple[Pretraining, ...]]:
    """A base for each set of sizes and schedules that the tasks ask for and that none is recorded of; or for all.

    Tasks whose settings are equal share one. A task whose teacher begins as a given model as it is needs none.
    """
    settings, again = context.settings, bool(context.request.options.get("again"))
    teachers = {name: settings.task(name).teacher for name in context.tasks()}
    asking = {name: teacher for name, teacher in teachers.items() if teacher.is_pretrained_here}
    if not asking:
        return Work()
    layout, scenes = text_queries.date_layout(context.lake, settings.rounds), all_scenes(settings.tasks)
    wanted = {
        name: Pretraining(teacher, scenes, layout, settings.rounds.seed, given_base(teacher))
        for name, teacher in asking.items()
    }
    work, steps = [], []
    for one in {one.settings: one for one in wanted.values()}.values():
        if again or not recorded_bases(context.lake, one.settings):
            names = [name for name, theirs in wanted.items() if theirs.settings == one.settings]
            further = "" if one.given is None else f", {one.given.place} further"
            steps.append(
                f"pretrain what the teachers of {', '.join(names)} begin as{further}, "
                f"{one.settings.pretrain_steps} steps"
            )
            work.append(one)
    return Work(tuple(steps), tuple(work))


def execute(context: Context, work: tuple[Pretraining, ...]) -> Done | None:
    """Pretrain each; its row in `models` comes last. None where texts and settings are those of the newest one."""
    made = []
    for one in work:
        base, is_new = make_base(
            context.lake, one, context.settings.cleaning.version, context.stamp(), context.training_progress
        )
        if is_new:
            made.append(base.model_id)
    return Done(counts={"bases": len(made)}, headline="bases", reason="; ".join(made)) if made else None


JOB = Job("pretrain", plan, execute, reads=(tables.TEXTS, tables.MODELS), writes=(tables.MODELS,))
