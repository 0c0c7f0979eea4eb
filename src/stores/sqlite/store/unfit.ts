/** A record that cannot stand in its table, and why: it is parked. The reason holds no row values. */
export class Unfit extends Error {
  constructor(reason: string) {
    super(reason)
    this.name = 'Unfit'
  }
}
