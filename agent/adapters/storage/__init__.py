"""Storage: what survives a restart, in files that are replaced whole and one SQLite database.

`sqlite` keeps transcripts, written by the one thread of `writer`, in the tables of `schema` and the full-text index of
`search_index`. `identity` is the key and
`machine` which machine it was made on; `state` has the trust store and numbers; `household`, `addresses`, `last_known`
`page` and `audit` are one file each. `files` and `state_values` are how all of them are written and read; `lock` and
`filesystem` see to it that one service has a home. Page: docs/state.md.
"""
