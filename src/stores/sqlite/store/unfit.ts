/** A record that cannot stand in its table, and why: it is parked. The reason holds no row values. */
export class Unfit extends Error {
  constructor(reason: string) {
    super(reason)
    this.name = 'Unfit'
  }
}

/** A trigger of the application passed over the row: what it asks may be another thing the next time. */
export class LetFall extends Unfit {
  constructor() {
    super('a trigger of the application let it fall')
    this.name = 'LetFall'
  }
}
