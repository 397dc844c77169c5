// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The renewd authors

package command

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"

	"go.uber.org/zap"
)

// reload puts what the configuration file holds now in force. Whatever is wrong with it, the last good one stays.
func (s *service) reload(data []byte, err error) error {
	log := s.root.Named("config")
	if err != nil {
		s.board.reloaded("unreadable", err)
		s.logging.Failed("config", "configuration unreadable", err)
		return nil
	}
	before := s.board.configuration()
	if sum := sha256.Sum256(data); hex.EncodeToString(sum[:]) == before.SHA256 {
		if !before.LastReloadSuccessful {
			s.board.reloaded("unchanged", nil)
			log.Info("configuration is again the one in force")
		}
		return nil
	}
	s.mu.Lock()
	path := s.conf.path
	s.mu.Unlock()
	conf, err := s.app.parse(path, data)
	if err != nil {
		s.board.reloaded("invalid", err)
		s.logging.Failed("config", "configuration invalid, the last good one stays in force", err)
		return nil
	}
	if err := s.apply(&loaded{conf, path}); err != nil {
		s.notApplied(log, err, before.Error)
		return err // asked again at the next poll
	}
	s.board.reloaded("applied", nil)
	log.Info("configuration reloaded", zap.Int("tokens", len(conf.Tokens)), zap.String("sha256", conf.SHA256))
	return nil
}

// notApplied says once why a good configuration cannot come into force, however often that is tried.
func (s *service) notApplied(log *zap.Logger, err error, said string) {
	s.board.reloaded("apply_failed", err)
	level := zap.ErrorLevel
	if err.Error() == said {
		level = zap.DebugLevel
	}
	var help string
	if e, ok := errors.AsType[*exit](err); ok {
		help = e.help
	}
	log.Log(level, "configuration not applied, the last good one stays in force", zap.Error(err), zap.String("hint", help))
}
