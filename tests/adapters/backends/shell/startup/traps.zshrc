# usable
TRAPDEBUG() { print debug }
TRAPZERR() { print zerr }
TRAPINT() { return 130 }
