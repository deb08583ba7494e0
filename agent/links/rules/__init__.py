"""The pure rules of links: which one stays, what is fanned out, what another device's answers are worth."""
