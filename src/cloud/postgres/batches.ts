import { nextTurn } from '../log/next-turn.ts'

/**
 * Questions of one kind, asked together: one that comes while enough are under way goes with the next. Nothing is
 * remembered: every answer is of a statement that began after the question was asked.
 */
export class Batches<Question, Answer> {
  readonly #limits: { readonly most: number; readonly underWay: number }
  readonly #ask: (questions: readonly Question[]) => Promise<readonly Answer[]>
  readonly #waiting: {
    readonly question: Question
    readonly resolve: (answer: Answer) => void
    readonly reject: (error: unknown) => void
  }[] = []
  #underWay = 0

  /** `ask` answers as many as it was asked, in their order. */
  constructor(
    limits: { readonly most: number; readonly underWay: number },
    ask: (questions: readonly Question[]) => Promise<readonly Answer[]>,
  ) {
    this.#limits = limits
    this.#ask = ask
  }

  load(question: Question): Promise<Answer> {
    return new Promise((resolve, reject) => {
      this.#waiting.push({ question, resolve, reject })
      // Those of the same turn go together.
      if (this.#waiting.length === 1) nextTurn(() => this.#start())
    })
  }

  #start(): void {
    while (this.#waiting.length > 0 && this.#underWay < this.#limits.underWay) {
      const taken = this.#waiting.splice(0, this.#limits.most)
      this.#underWay++
      this.#ask(taken.map(({ question }) => question))
        .then(
          (answers) => taken.forEach(({ resolve }, at) => resolve(answers[at] as Answer)),
          (error: unknown) => taken.forEach(({ reject }) => reject(error)),
        )
        .finally(() => {
          this.#underWay--
          this.#start()
        })
    }
  }
}
