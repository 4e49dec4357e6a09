-- MySQL dump 10.13, made up for the tests
/*!40101 SET NAMES utf8mb4 */;
SET FOREIGN_KEY_CHECKS = 0; # a comment; with a semicolon

DROP TABLE IF EXISTS `visit`;
CREATE TABLE `ward` (
  `id` int(10) unsigned NOT NULL AUTO_INCREMENT,
  `name` varchar(40) COLLATE utf8mb4_unicode_ci NOT NULL DEFAULT 'It\'s; open',
  `beds` tinyint(3) unsigned NOT NULL,
  `opened` year DEFAULT NULL,
  PRIMARY KEY (`id`),
  UNIQUE KEY `ward_name` (`name`)
) ENGINE=InnoDB AUTO_INCREMENT=7 DEFAULT CHARSET=utf8mb4 COMMENT='wards; all of them';

CREATE TABLE `patient` (
  `id` int(10) unsigned NOT NULL AUTO_INCREMENT,
  `sex` enum('F','M','x') NOT NULL,
  `blood` enum('A+','A-','B+','0;-') DEFAULT NULL,
  `date_of_birth` date NOT NULL,
  `insured` tinyint(1) NOT NULL DEFAULT '1',
  PRIMARY KEY (`id`)
) ENGINE=InnoDB;

CREATE TABLE `visit` (
  `id` bigint(20) NOT NULL AUTO_INCREMENT,
  `patient_id` int(10) unsigned NOT NULL,
  `ward_in` int(10) unsigned NOT NULL,
  `ward_out` int(10) unsigned DEFAULT NULL,
  `date` decimal(6,2) NOT NULL COMMENT 'a number in spite of its name',
  `type` int(11) NOT NULL,
  `visit_type` enum('Planned','Emergency') NOT NULL,
  `admitted` datetime NOT NULL,
  `left` timestamp NULL DEFAULT NULL ON UPDATE CURRENT_TIMESTAMP,
  `report` json DEFAULT NULL,
  `scan` longblob,
  PRIMARY KEY (`id`),
  KEY `visit_patient` (`patient_id`),
  CONSTRAINT `visit_patient` FOREIGN KEY (`patient_id`) REFERENCES `patient` (`id`) ON DELETE CASCADE,
  CONSTRAINT `visit_in` FOREIGN KEY (`ward_in`) REFERENCES `ward` (`id`)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4;

INSERT INTO `patient` VALUES (1,'F','A+','1970-01-01',1),(2,'M',NULL,'1980-02-03; CREATE TABLE x (a int)',0);
ALTER TABLE `visit` ADD CONSTRAINT `visit_out` FOREIGN KEY (`ward_out`) REFERENCES `ward` (`id`);
