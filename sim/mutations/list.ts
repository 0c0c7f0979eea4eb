/** A deliberate fault: exact texts of product sources and what they become. */
export interface Mutation {
  readonly name: string
  readonly about: string
  readonly edits: readonly Edit[]
}

export interface Edit {
  /** Path below src. */
  readonly file: string
  readonly find: string
  readonly put: string
}

export const MUTATIONS: readonly Mutation[] = []
